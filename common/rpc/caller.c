/*
 * Who calls: what TLS proved and what the call says of itself, in one block of
 * memory beside the call. The serial is read from the first bytes of the
 * certificate, for each call anew and for half a microsecond.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rpc/internal.h"

enum {
	MAX_SERIAL = (RPC_SERIAL_TEXT - 1) / 2,
	HEAD = 64
}; /* bytes: RFC 5280; of DER up to the serial's end */

static int base64_value(char ch)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = ch ? strchr(alphabet, ch) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* The first bytes of the certificate in a PEM text. */
static size_t pem_head(const char *pem, size_t len, unsigned char *ret)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----";
	const char *p = memmem(pem, len, begin, sizeof begin - 1), *end = pem + len;
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;
	int value;

	for (p = p ? p + sizeof begin - 1 : end; p < end && n < HEAD; p++) {
		value = base64_value(*p);
		if (value < 0 && *p != '\n' && *p != '\r')
			break;
		if (value < 0)
			continue;
		bits = (bits << 6 | (unsigned)value) & 0xffff;
		n_bits += 6;
		if (n_bits >= 8)
			ret[n++] = (unsigned char)(bits >> (n_bits -= 8));
	}
	return n;
}

/* Skips a DER tag and length; the value's length is not checked against what follows. */
static size_t der_open(const unsigned char *der, size_t n, size_t at, unsigned char tag,
		       size_t *ret_len)
{
	size_t len, more;

	if (at + 2 > n || der[at] != tag)
		return 0;
	len = der[at + 1];
	at += 2;
	if (len & 0x80) {
		for (more = len & 0x7f, len = 0; more > 0 && at < n && len <= 0xffff; more--)
			len = len << 8 | der[at++];
		if (more > 0)
			return 0;
	}
	*ret_len = len;
	return at;
}

/* Certificate { TBSCertificate { [0] version, serialNumber ... (RFC 5280, 4.1) */
void caller_serial(const char *pem, size_t pem_len, char *ret)
{
	unsigned char der[HEAD];
	size_t n = pem_head(pem, pem_len, der), at, len = 0;

	*ret = '\0';
	if (!(at = der_open(der, n, 0, 0x30, &len)) || !(at = der_open(der, n, at, 0x30, &len)))
		return;
	if (at < n && der[at] == 0xa0) /* the version; not in version 1 */
		at = der_open(der, n, at, 0xa0, &len) + len;
	at = der_open(der, n, at, 0x02, &len);
	if (!at || len == 0 || at + len > n)
		return;
	if (der[at] == 0 && len > 1)
		at++, len--; /* a sign byte */
	if (len > MAX_SERIAL)
		return;
	for (size_t i = 0; i < len; i++)
		snprintf(ret + 2 * i, 3, "%02X", der[at + i]);
}

/* The value if there is exactly one. */
static const char *only_property(const grpc_auth_context *ctx, const char *name, size_t *ret_len)
{
	grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(ctx, name);
	const grpc_auth_property *first = grpc_auth_property_iterator_next(&it);

	*ret_len = 0;
	if (!first || grpc_auth_property_iterator_next(&it))
		return "";
	*ret_len = first->value_length;
	return first->value;
}

static size_t find_bearer(const grpc_metadata_array *md, const char **ret)
{
	static const char scheme[] = "Bearer ";
	const char *value;
	size_t len;

	for (size_t i = 0; i < md->count; i++) {
		if (grpc_slice_str_cmp(md->metadata[i].key, "authorization") != 0)
			continue;
		value = (const char *)GRPC_SLICE_START_PTR(md->metadata[i].value);
		len = GRPC_SLICE_LENGTH(md->metadata[i].value);
		if (len < sizeof scheme - 1 || strncasecmp(value, scheme, sizeof scheme - 1) != 0)
			continue;
		*ret = value + sizeof scheme - 1;
		return len - (sizeof scheme - 1);
	}
	*ret = "";
	return 0;
}

static const char *put(char **at, const char *s, size_t len)
{
	char *start = *at;

	memcpy(start, s, len);
	start[len] = '\0';
	*at += len + 1;
	return start;
}

static void fill(struct rpc_call *c)
{
	grpc_auth_context *auth = grpc_call_auth_context(c->core);
	char *address = grpc_call_get_peer(c->core), *at;
	char serial[RPC_SERIAL_TEXT];
	const char *uri, *pem, *bearer;
	size_t uri_len, pem_len, bearer_len;
	struct rpc_caller *who;

	uri = only_property(auth, "peer_uri", &uri_len);
	pem = only_property(auth, "x509_pem_cert", &pem_len);
	caller_serial(pem, pem_len, serial);
	bearer_len = find_bearer(&c->initial, &bearer);
	who = xmalloc(sizeof *who + uri_len + strlen(serial) + bearer_len + strlen(address) + 4);
	at = (char *)(who + 1);
	*who = (struct rpc_caller){ .listener = c->port->kind,
				    .service = c->route->service->name,
				    .method = c->route->method->name };
	who->peer_uri = put(&at, uri, uri_len);
	who->cert_serial = put(&at, serial, strlen(serial));
	who->bearer = put(&at, bearer, bearer_len);
	who->address = put(&at, address, strlen(address));
	gpr_free(address);
	grpc_auth_context_release(auth);
	grpc_metadata_array_destroy(&c->initial);
	grpc_metadata_array_init(&c->initial);
	lock_take(&c->server->lock); /* rpc_server_cut() looks at it */
	c->caller = who;
	lock_drop(&c->server->lock);
}

void caller_free(struct rpc_call *c)
{
	if (c->identity.identity_free)
		c->identity.identity_free(c->identity.identity);
	free(c->caller);
}

/* `name` is what the error calls it; a key may be a secret. */
static int count(struct rpc_call *c, const char *key, const char *name, unsigned most,
		 struct error *err)
{
	struct rpc_server *s = c->server;
	struct peer *peer;

	LOCKED(&s->lock);
	HASH_FIND_STR(s->peers, key, peer);
	if (peer && peer->calls >= most)
		return error_id(err, "E0606", "'%s' has %u calls open, at most %u are allowed",
				name, peer->calls, most);
	if (!peer) {
		peer = xcalloc(1, sizeof *peer);
		peer->uri = xstrdup(key);
		HASH_ADD_KEYPTR(hh, s->peers, peer->uri, strlen(peer->uri), peer);
	}
	peer->calls++;
	c->peer = peer;
	return 0;
}

static int count_peer(struct rpc_call *c, struct error *err)
{
	const char *uri = c->caller->peer_uri;

	return *uri ? count(c, uri, uri, c->limits->max_peer_calls, err) : 0;
}

/* After the guard let it in, so that nobody counts by words of his own. What has no thread takes
 * none from others. */
static int count_token(struct rpc_call *c, struct error *err)
{
	if (c->peer || !*c->caller->bearer || !c->limits->max_token_calls || call_is_session(c))
		return 0;
	return count(c, c->caller->bearer, "this token", c->limits->max_token_calls, err);
}

int caller_admit(struct rpc_call *c, struct error *err)
{
	struct rpc_server *s = c->server;
	unsigned access = c->route->method->access;

	fill(c);
	if (count_peer(c, err) < 0)
		return -1;
	if (access & PUBLIC)
		return 0;
	if (!s->guard)
		return error_set(err, ERR_DENIED, "nobody may call '%s' here",
				 c->route->method->name);
	if (s->guard(s->guard_self, c->caller, access, &c->identity, err) == 0)
		return count_token(c, err);
	assert(!err || err->code != ERR_NONE);
	return -1;
}
