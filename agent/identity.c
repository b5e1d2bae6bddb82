/*
 * Enrolment and renewal. No trust on first use: the CA is pinned by the hash that came with the
 * token, before the token is sent anywhere.
 */
#include "agent/identity.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/id.h"
#include "crypto/cert.h"
#include "crypto/keys.h"

enum { PEM_LIMIT = 64 << 10, FILE_LIMIT = 64 << 10 };

RPC_STUB(ask_enrol, sluice__v1__agents, Enrol, Sluice__V1__EnrolRequest, Sluice__V1__EnrolReply)
RPC_STUB(ask_renewal, sluice__v1__agents, RenewCertificate, Sluice__V1__RenewCertificateRequest,
	 Sluice__V1__EnrolReply)

void identity_free(struct identity *i)
{
	if (!i)
		return;
	if (i->pem)
		explicit_bzero(i->pem, strlen(i->pem));
	free(i->id);
	free(i->name);
	free(i->controller);
	free(i->pem);
	free(i->ca_pem);
	free(i);
}

static int read_json(const char *path, struct identity *i, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	const char *id, *name, *controller;
	json_t *root;
	int r = 0;

	if (file_read(path, FILE_LIMIT, &text, err) < 0)
		return -1;
	root = json_loadb(buf_str(&text), text.len, 0, NULL);
	if (json_unpack(root, "{s:s, s:s, s:s}", "id", &id, "name", &name, "controller",
			&controller) < 0 ||
	    !id_valid(id)) {
		r = error_set(err, ERR_CORRUPT, "'%s' is damaged; join again", path);
	} else {
		i->id = xstrdup(id);
		i->name = xstrdup(name);
		i->controller = xstrdup(controller);
	}
	json_decref(root);
	return r;
}

struct identity *identity_load(const char *dir, struct error *err)
{
	cleanup(identity_freep) struct identity *i = xcalloc(1, sizeof *i);
	cleanup(freep) char *json = path_join(dir, "agent.json");
	cleanup(freep) char *pem = path_join(dir, "identity.pem");
	cleanup(freep) char *ca = path_join(dir, "ca.pem");
	struct buf text = { 0 };
	struct cert_info info;

	if (!file_exists(json)) {
		error_set(err, ERR_NOT_FOUND, "this host has not joined a controller");
		error_hint(err, "sluice-agent join ADDRESS --token-file FILE");
		return NULL;
	}
	if (read_json(json, i, err) < 0 || key_read_file(pem, &text, err) < 0)
		return NULL;
	i->pem = buf_detach(&text);
	if (file_read(ca, PEM_LIMIT, &text, err) < 0)
		return NULL;
	i->ca_pem = buf_detach(&text);
	if (cert_read(i->pem, &info, err) < 0)
		return error_wrap(err, "'%s'", pem), NULL;
	i->not_after_ms = info.not_after_ms;
	return steal(i);
}

/* One that does not serve must not take the place of one that does. */
static int check_certificate(const struct buf *key, const char *certificate, const char *ca_pem,
			     struct error *err)
{
	struct cert_info info;

	if (cert_check_key(certificate, buf_str(key), err) < 0 ||
	    cert_check_signed_by(certificate, ca_pem, err) < 0 ||
	    cert_read(certificate, &info, err) < 0)
		return error_wrap(err, "the controller's certificate");
	if (info.not_after_ms > clock_wall_ms())
		return 0;
	error_set(err, ERR_INVALID, "the controller's certificate has expired already");
	return error_hint(err, "check the clocks of both hosts");
}

static int save_pem(const char *dir, const struct buf *key, const char *certificate,
		    struct error *err)
{
	cleanup(freep) char *path = path_join(dir, "identity.pem");
	cleanup(key_release) struct buf both = { 0 };

	buf_add(&both, key->data, key->len);
	buf_puts(&both, certificate);
	return file_write_atomic(path, both.data, both.len, 0600, err);
}

/* "7701" or ":7701" or "host:7701", as seen from where we dialled. */
static char *agents_address(const char *said, const char *dialled)
{
	const char *colon = strrchr(dialled, ':');
	int host = colon ? (int)(colon - dialled) : (int)strlen(dialled);

	return *said == ':' ? xprintf("%.*s%s", host, dialled, said) : xstrdup(said);
}

static int save(const struct identity_join *how, const struct buf *key,
		const Sluice__V1__EnrolReply *reply, struct error *err)
{
	cleanup(freep) char *json_path = path_join(how->dir, "agent.json");
	cleanup(freep) char *ca_path = path_join(how->dir, "ca.pem");
	cleanup(freep) char *controller = agents_address(reply->agents_address, how->address);
	cleanup(freep) char *text = NULL;
	json_t *root;

	if (!id_valid(reply->agent_id) || !name_valid(reply->name))
		return error_set(err, ERR_INVALID, "the controller gave no valid id and name");
	if (check_certificate(key, reply->certificate_pem, reply->ca_pem, err) < 0)
		return -1;
	root = json_pack("{s:s, s:s, s:s}", "id", reply->agent_id, "name", reply->name,
			 "controller", controller);
	text = json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	if (!text)
		return error_set(err, ERR_INVALID, "the controller gave names that are no text");
	/* agent.json last: with it the host has joined */
	if (file_write_atomic(ca_path, reply->ca_pem, strlen(reply->ca_pem), 0644, err) < 0 ||
	    save_pem(how->dir, key, reply->certificate_pem, err) < 0)
		return -1;
	return file_write_atomic(json_path, text, strlen(text), 0644, err);
}

/* The secret and the CA's hash of a token; the caller frees both. */
static int split_token(const char *token, char **ret_secret, char **ret_hash, struct error *err)
{
	const char *dot = strrchr(token, '.');
	size_t end = strcspn(token, " \t\r\n");

	if (!dot || end - (size_t)(dot + 1 - token) != 64 || end < 64) {
		error_id(err, "E0304", "this is no enrolment token: SECRET.SHA256 is expected");
		return error_hint(err, "sluice agents token prints one");
	}
	*ret_secret = xstrndup(token, (size_t)(dot - token));
	*ret_hash = xstrndup(dot + 1, 64);
	return 0;
}

static int enrol(const struct identity_join *how, const char *secret, const char *ca_pem,
		 struct error *err)
{
	struct rpc_endpoint endpoint = { .address = how->address, .ca_pem = ca_pem };
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	cleanup(rpc_hangupp) struct rpc_channel *channel = rpc_dial(&endpoint, err);
	cleanup(key_release) struct buf key = { 0 };
	cleanup(buf_release) struct buf csr = { 0 };
	Sluice__V1__EnrolRequest request = SLUICE__V1__ENROL_REQUEST__INIT;
	const Sluice__V1__EnrolReply *reply;
	struct id id = id_new();

	if (!channel || key_generate(&key, err) < 0 ||
	    cert_make_request(buf_str(&key), &csr, err) < 0)
		return -1;
	request.token = (char *)secret;
	request.csr_pem = csr.data;
	request.host = (Sluice__V1__HostFacts *)how->host;
	request.request_id = id.text;
	request.version = SLUICE_VERSION;
	reply = ask_enrol(channel, arena, &request, err);
	return reply ? save(how, &key, reply, err) : -1;
}

int identity_join(const struct identity_join *how, struct error *err)
{
	cleanup(freep) char *json = path_join(how->dir, "agent.json");
	cleanup(freep) char *secret = NULL, *hash = NULL, *ca_pem = NULL;
	int r;

	if (file_exists(json) && !how->renew) {
		error_set(err, ERR_EXISTS, "this host has joined already ('%s')", json);
		return error_hint(err, "--renew gives it a new certificate and keeps its id");
	}
	if (split_token(how->token, &secret, &hash, err) < 0 ||
	    file_make_dirs(how->dir, 0700, err) < 0 ||
	    rpc_fetch_ca(how->address, hash, &ca_pem, err) < 0)
		return -1;
	r = enrol(how, secret, ca_pem, err);
	explicit_bzero(secret, strlen(secret));
	return r;
}

bool identity_renewal_due(const struct identity *i, int64_t now_wall_ms)
{
	struct cert_info info;
	struct error ignored = { 0 };

	if (FAULT_POINT("identity.due"))
		return true;
	if (cert_read(i->pem, &info, &ignored) < 0)
		return false;
	return now_wall_ms > info.not_before_ms + (info.not_after_ms - info.not_before_ms) / 3;
}

int identity_renew(const char *dir, struct rpc_channel *channel, struct error *err)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	cleanup(key_release) struct buf key = { 0 };
	cleanup(buf_release) struct buf csr = { 0 }, ca_pem = { 0 };
	cleanup(freep) char *ca_path = path_join(dir, "ca.pem");
	Sluice__V1__RenewCertificateRequest request = SLUICE__V1__RENEW_CERTIFICATE_REQUEST__INIT;
	const Sluice__V1__EnrolReply *reply;

	if (file_read(ca_path, PEM_LIMIT, &ca_pem, err) < 0 || key_generate(&key, err) < 0 ||
	    cert_make_request(buf_str(&key), &csr, err) < 0)
		return -1;
	request.csr_pem = csr.data;
	reply = ask_renewal(channel, arena, &request, err);
	if (!reply || check_certificate(&key, reply->certificate_pem, buf_str(&ca_pem), err) < 0)
		return -1;
	return save_pem(dir, &key, reply->certificate_pem, err);
}
