/*
 * Who may connect, who is who, and what people read when it does not work.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo.h"

static struct echo *e;
static struct error err;
static struct arena *arena;

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
	e = echo_new(NULL);
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(arena);
	echo_free(e);
}

TestSuite(rpc_tls, .init = setup, .fini = teardown, .timeout = 60);

/* One call through a channel of its own; the reply's text or NULL. */
static const char *call(const struct rpc_endpoint *ep, const char *who)
{
	cleanup(rpc_hangupp) struct rpc_channel *ch = rpc_dial(ep, &err);
	Ping ping = RPCTEST__V1__PING__INIT;
	const Pong *pong;

	if (!ch)
		return NULL;
	ping.who = (char *)who;
	pong = echo_unary(ch, arena, &ping, &err);
	return pong ? pong->text : NULL;
}

static void expect(const char *sentence, const char *hint, enum error_code code)
{
	cr_expect_eq(err.code, code, "%s", err.text);
	cr_expect_str_eq(err.text, sentence);
	cr_expect(strstr(err.hint, hint), "'%s' is not in '%s'", hint, err.hint);
	cr_expect_null(strcasestr(err.text, "grpc"));
	cr_expect_null(strcasestr(err.text, "subchannel"));
}

/* "%" in the sentence stands for the address. */
static const char *text(const char *sentence, const char *address)
{
	static char room[512];
	const char *at = strchr(sentence, '%');

	snprintf(room, sizeof room, "%.*s%s%s", (int)(at - sentence), sentence, address, at + 1);
	return room;
}

Test(rpc_tls, an_agent_is_known_by_its_certificate)
{
	struct rpc_endpoint ep = echo_agent(e);
	cleanup(freep) char *serial = certs_serial(e->agent.cert);

	cr_assert(call(&ep, "x"), "%s", err.text);
	cr_expect_str_eq(e->caller.peer_uri, AGENT_URI);
	cr_expect_str_eq(e->caller.serial, serial);
	cr_expect_eq(e->caller.listener, RPC_AGENTS);
	cr_expect_str_eq(e->caller.bearer, "");
	cr_expect_eq(e->caller.access, VIEWER | AGENT);
	cr_expect_str_eq(e->caller.method, "rpctest.v1.Echo.Unary");
}

Test(rpc_tls, a_user_is_known_by_its_token)
{
	struct rpc_endpoint ep = echo_user(e);

	cr_expect_str_eq(call(&ep, "identity"), "good");
	cr_expect_eq(e->caller.listener, RPC_USERS);
	cr_expect_str_eq(e->caller.peer_uri, "");
	cr_expect_str_eq(e->caller.serial, "");
}

Test(rpc_tls, the_guard_refuses_and_its_words_arrive)
{
	struct rpc_endpoint ep = echo_user(e);

	ep.bearer = "bad";
	cr_assert_null(call(&ep, "x"));
	cr_expect_eq(err.code, ERR_UNAUTHENTICATED);
	cr_expect_str_eq(err.id, "E0301");
	cr_expect_str_eq(err.text, "the token is not known");
	ep.bearer = NULL;
	cr_assert_null(call(&ep, "x"));
	cr_expect_str_eq(e->caller.bearer, "");
}

Test(rpc_tls, a_new_token_is_used_by_the_next_call)
{
	struct rpc_endpoint ep = echo_user(e);
	cleanup(rpc_hangupp) struct rpc_channel *ch = NULL;
	Ping ping = RPCTEST__V1__PING__INIT;

	ep.bearer = "bad";
	ch = rpc_dial(&ep, &err);
	cr_assert_null(echo_unary(ch, arena, &ping, &err));
	rpc_channel_bearer(ch, "good");
	cr_expect(echo_unary(ch, arena, &ping, &err), "%s", err.text);
}

Test(rpc_tls, a_client_certificate_means_nothing_to_the_users_listener)
{
	struct rpc_endpoint ep = echo_agent(e);

	ep.address = e->users;
	ep.bearer = "good";
	cr_assert(call(&ep, "x"), "%s", err.text);
	cr_expect_str_eq(e->caller.peer_uri, "");
	cr_expect_str_eq(e->caller.serial, "");
}

Test(rpc_tls, nobody_there)
{
	struct rpc_endpoint ep = echo_user(e);
	int64_t before = clock_mono_us();
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	socklen_t len = sizeof sin;
	cleanup(freep) char *sha = certs_sha256(e->ca.cert);
	cleanup(freep) char *pem = NULL;
	char address[32];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* bound, not listening: nobody else can take the port meanwhile */
	cr_assert_eq(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(sin.sin_port));
	ep.address = address;
	cr_assert_null(call(&ep, "x"));
	expect(text("cannot reach the controller at %: connection refused", address),
	       "is sluice-controller running there?", ERR_UNAVAILABLE);
	cr_assert_eq(rpc_fetch_ca(address, sha, &pem, &err), -1);
	expect(text("cannot reach the controller at %: connection refused", address),
	       "is sluice-controller running there?", ERR_UNAVAILABLE);
	cr_expect_str_eq(err.id, "E0307");
	cr_expect_lt(clock_mono_us() - before, 5000000, "it fails fast");
	close(fd);
}

Test(rpc_tls, a_host_that_is_not_known)
{
	struct rpc_endpoint ep = echo_user(e);

	ep.address = "no-such-host.invalid:7700";
	cr_assert_null(call(&ep, "x"));
	expect("cannot reach the controller at no-such-host.invalid:7700: no such host",
	       "check the spelling", ERR_UNAVAILABLE);
}

Test(rpc_tls, an_address_without_a_port)
{
	struct rpc_endpoint ep = echo_user(e);

	ep.address = "localhost";
	cr_assert_null(call(&ep, "x"));
	expect("'localhost' is not an address", "HOST:PORT", ERR_INVALID);
}

Test(rpc_tls, a_server_of_another_ca_is_refused)
{
	struct pair other = certs_ca("other CA");
	struct rpc_endpoint ep = echo_user(e);

	ep.ca_pem = other.cert;
	cr_assert_null(call(&ep, "x"));
	expect(text("the controller at '%' shows a certificate of another CA", e->users),
	       "is it the one whose CA you know?", ERR_UNAVAILABLE);
	pair_release(&other);
}

Test(rpc_tls, a_server_by_a_wrong_name_is_refused)
{
	struct rpc_endpoint ep = echo_user(e);

	ep.server_name = "elsewhere";
	cr_assert_null(call(&ep, "x"));
	expect(text("the certificate of the controller at '%' is not for the name 'elsewhere'",
		    e->users),
	       "add 'elsewhere' to `names`", ERR_UNAVAILABLE);
	ep.server_name = "localhost";
	cr_expect(call(&ep, "x"), "%s", err.text);
}

Test(rpc_tls, an_agents_listener_wants_a_certificate)
{
	struct rpc_endpoint ep = echo_agent(e);

	ep.cert_pem = ep.key_pem = NULL;
	cr_assert_null(call(&ep, "x"));
	expect(text("the controller at '%' asks for a client certificate", e->agents),
	       "address for agents", ERR_UNAUTHENTICATED);
	cr_expect_eq(e->identities, 0, "it never came to a call");
}

static void refused_client(struct pair *ca, struct leaf leaf, const char *sentence)
{
	struct rpc_endpoint ep = echo_agent(e);
	struct pair client = certs_leaf(ca, &leaf);

	ep.cert_pem = client.cert;
	ep.key_pem = client.key;
	cr_assert_null(call(&ep, "x"));
	expect(text(sentence, e->agents), "enrol the agent again", ERR_UNAUTHENTICATED);
	cr_expect_eq(e->identities, 0);
	pair_release(&client);
}

Test(rpc_tls, a_client_of_another_ca_is_refused)
{
	struct pair other = certs_ca("other CA");

	refused_client(&other, (struct leaf){ .names = "URI:" AGENT_URI, .usage = "clientAuth" },
		       "the controller at '%' does not accept our certificate");
	pair_release(&other);
}

Test(rpc_tls, an_expired_client_is_refused)
{
	refused_client(
		&e->ca,
		(struct leaf){ .names = "URI:" AGENT_URI, .usage = "clientAuth", .days = -1 },
		"our certificate for the controller at '%' has expired");
}

Test(rpc_tls, a_servers_certificate_is_none_for_a_client)
{
	refused_client(&e->ca, (struct leaf){ .names = "URI:" AGENT_URI, .usage = "serverAuth" },
		       "the controller at '%' does not accept our certificate");
}

Test(rpc_tls, two_uris_in_a_certificate_are_no_name)
{
	struct leaf leaf = { .names = "URI:spiffe://test/agent/1,URI:spiffe://test/agent/2",
			     .usage = "clientAuth" };
	struct pair client = certs_leaf(&e->ca, &leaf);
	struct rpc_endpoint ep = echo_agent(e);

	ep.cert_pem = client.cert;
	ep.key_pem = client.key;
	cr_assert(call(&ep, "x"), "%s", err.text);
	cr_expect_str_eq(e->caller.peer_uri, "");
	pair_release(&client);
}

/* ---- TLS 1.3 only ---- */

static SSL *raw_connect(const char *address, SSL_CTX *ctx, int *ret_fd, int *ret_r)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	SSL *ssl = SSL_new(ctx);

	sin.sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1));
	*ret_fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(*ret_fd, (struct sockaddr *)&sin, sizeof sin), 0);
	SSL_set_fd(ssl, *ret_fd);
	*ret_r = SSL_connect(ssl);
	return ssl;
}

static int handshake(const char *address, int version)
{
	static const unsigned char h2[] = "\x02h2";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd, r;
	SSL *ssl;

	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
	SSL_CTX_set_alpn_protos(ctx, h2, 3);
	ssl = raw_connect(address, ctx, &fd, &r);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return r;
}

Test(rpc_tls, only_tls_1_3_is_spoken)
{
	cr_expect_eq(handshake(e->users, TLS1_3_VERSION), 1);
	cr_expect_neq(handshake(e->users, TLS1_2_VERSION), 1);
	cr_expect_neq(handshake(e->users, TLS1_1_VERSION), 1);
	cr_expect_neq(handshake(e->agents, TLS1_2_VERSION), 1);
}

/* A listener that is no Sluice: TLS 1.2 only, or a line of text. */
struct stranger {
	int fd;
	SSL_CTX *ctx; /* NULL: text */
};

static void *stranger_main(void *arg)
{
	struct stranger *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		if (s->ctx) {
			SSL *ssl = SSL_new(s->ctx);

			SSL_set_fd(ssl, fd);
			SSL_accept(ssl);
			SSL_free(ssl);
		} else {
			cr_expect_gt(write(fd, "220 mail.example ESMTP\r\n", 24), 0);
		}
		close(fd);
	}
	return NULL;
}

static void against_stranger(SSL_CTX *ctx, const char *sentence)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	struct rpc_endpoint ep = echo_user(e);
	struct stranger s = { .ctx = ctx };
	socklen_t len = sizeof sin;
	char address[32];
	pthread_t t;

	s.fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(s.fd, (struct sockaddr *)&sin, sizeof sin), 0);
	cr_assert_eq(listen(s.fd, 16), 0);
	cr_assert_eq(getsockname(s.fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(sin.sin_port));
	t = thread_start("stranger", 0, stranger_main, &s);
	ep.address = address;
	cr_assert_null(call(&ep, "x"));
	expect(text(sentence, address), "is it the controller?", ERR_UNAVAILABLE);
	shutdown(s.fd, SHUT_RDWR);
	close(s.fd);
	thread_join(t);
}

Test(rpc_tls, a_mail_server_is_no_controller)
{
	against_stranger(NULL, "what answers at '%' does not speak TLS");
}

Test(rpc_tls, a_server_of_tls_1_2_is_told_apart)
{
	struct leaf leaf = { .names = "IP:127.0.0.1", .usage = "serverAuth", .rsa = 1 };
	struct pair p = certs_leaf(&e->ca, &leaf);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	cleanup(freep) char *cert = echo_path(e, "old.pem");
	cleanup(freep) char *key = echo_path(e, "old.key");

	echo_write(e, "old.pem", p.cert, NULL);
	echo_write(e, "old.key", p.key, NULL);
	cr_assert_eq(SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM), 1);
	cr_assert_eq(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	against_stranger(ctx, "what answers at '%' does not speak TLS 1.3");
	SSL_CTX_free(ctx);
	pair_release(&p);
}

/* ---- what is on disk ---- */

Test(rpc_tls, a_new_certificate_on_disk_serves_new_connections)
{
	struct leaf leaf = { .names = "DNS:renewed", .usage = "serverAuth" };
	struct pair p = certs_leaf(&e->ca, &leaf);
	struct rpc_endpoint ep = echo_user(e);
	cleanup(rpc_hangupp) struct rpc_channel *old = rpc_dial(&ep, &err);
	Ping ping = RPCTEST__V1__PING__INIT;

	cr_assert(echo_unary(old, arena, &ping, &err), "%s", err.text);
	/* half of the pair: the old one goes on */
	echo_write(e, "server.pem", p.cert, e->ca.cert);
	cr_expect(call(&ep, "x"), "%s", err.text);
	echo_write(e, "server.key", p.key, NULL);
	cr_expect_null(call(&ep, "x"), "the name 127.0.0.1 is in the old one only");
	ep.server_name = "renewed";
	cr_expect(call(&ep, "x"), "%s", err.text);
	cr_expect(echo_unary(old, arena, &ping, &err), "old connections live on: %s", err.text);
	pair_release(&p);
}

static void refused_files(const char *cert, const char *key, const char *sentence)
{
	cleanup(freep) char *cert_path = echo_path(e, cert);
	cleanup(freep) char *key_path = echo_path(e, key);
	struct rpc_listener listener = { "127.0.0.1:0", RPC_USERS, cert_path, key_path, NULL };
	cleanup(rpc_server_freep) struct rpc_server *s = rpc_server_new(&listener, 1, NULL, &err);

	cr_assert_eq(rpc_server_start(s, &err), -1);
	cr_expect(strstr(err.text, sentence), "%s", err.text);
	cr_expect(strstr(err.text, "listening on '127.0.0.1:0'"), "%s", err.text);
}

Test(rpc_tls, unusable_files_are_named)
{
	struct leaf leaf = { .names = "IP:127.0.0.1", .usage = "serverAuth", .rsa = 1 };
	struct pair p = certs_leaf(&e->ca, &leaf);

	echo_write(e, "rsa.pem", p.cert, NULL);
	echo_write(e, "rsa.key", p.key, NULL);
	echo_write(e, "empty", "", NULL);
	refused_files("rsa.pem", "rsa.key", "rsa.key' is an RSA key");
	refused_files("server.pem", "rsa.key", "does not fit the certificate");
	refused_files("empty", "server.key", "empty' holds no certificate");
	refused_files("server.pem", "empty", "empty' holds no private key");
	refused_files("absent", "server.key", "absent");
	pair_release(&p);
}

Test(rpc_tls, a_port_that_is_taken_is_an_error)
{
	cleanup(freep) char *cert = echo_path(e, "server.pem");
	cleanup(freep) char *key = echo_path(e, "server.key");
	struct rpc_listener listener = { e->users, RPC_USERS, cert, key, NULL };
	cleanup(rpc_server_freep) struct rpc_server *s = rpc_server_new(&listener, 1, NULL, &err);

	cr_assert_eq(rpc_server_start(s, &err), -1);
	expect(text("cannot listen on '%'", e->users), "port free?", ERR_UNAVAILABLE);
}

/* ---- the CA by its hash ---- */

Test(rpc_tls, the_ca_is_fetched_by_its_hash)
{
	cleanup(freep) char *sha = certs_sha256(e->ca.cert);
	cleanup(freep) char *pem = NULL;
	struct rpc_endpoint ep = echo_user(e);

	cr_assert_eq(rpc_fetch_ca(e->users, sha, &pem, &err), 0, "%s", err.text);
	cr_expect_str_eq(pem, e->ca.cert);
	ep.ca_pem = pem;
	cr_expect(call(&ep, "x"), "%s", err.text);
}

Test(rpc_tls, another_hash_fetches_nothing)
{
	struct pair other = certs_ca("other CA");
	cleanup(freep) char *sha = certs_sha256(other.cert);
	cleanup(freep) char *pem = NULL;

	cr_assert_eq(rpc_fetch_ca(e->users, sha, &pem, &err), -1);
	cr_expect_null(pem);
	expect(text("the server at '%' does not prove the CA that was named", e->users),
	       "compare the SHA-256", ERR_UNAUTHENTICATED);
	/* A stranger may send the right CA along, but cannot have signed by it. */
	struct leaf leaf = { .names = "IP:127.0.0.1", .usage = "serverAuth" };
	struct pair p = certs_leaf(&e->ca, &leaf);

	echo_write(e, "server.pem", p.cert, other.cert);
	echo_write(e, "server.key", p.key, NULL);
	cr_assert_eq(rpc_fetch_ca(e->users, sha, &pem, &err), -1);
	cr_expect_eq(err.code, ERR_UNAUTHENTICATED);
	cr_expect_eq(rpc_fetch_ca(e->users, "12ab", &pem, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	pair_release(&p);
	pair_release(&other);
}
