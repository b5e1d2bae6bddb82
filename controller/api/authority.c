/*
 * The CA's key is read when something is signed and forgotten after: it is not in memory while the
 * server runs.
 */
#include "controller/api/authority.h"

#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "crypto/keys.h"

enum { CA_YEARS = 20, SERVER_DAYS = 365, AGENT_DAYS = 30, PEM_LIMIT = 64 << 10 };

struct authority {
	char *dir, *cluster, **names;
	char *ca_path, *ca_key_path, *server_path, *server_key_path, *names_path;
	char *ca_pem;
	char ca_sha256[DIGEST_HEX_SIZE];
};

static char *read_text(const char *path, struct error *err)
{
	struct buf text = { 0 };

	return file_read(path, PEM_LIMIT, &text, err) < 0 ? NULL : buf_detach(&text);
}

static int read_authority(struct authority *a, struct buf *ret_key, struct error *err)
{
	return key_read_file(a->ca_key_path, ret_key, err);
}

/* The names that the server's certificate was issued for, a line each: to notice others. */
static void join_names(const struct authority *a, struct buf *ret)
{
	for (size_t i = 0; a->names[i]; i++)
		buf_printf(ret, "%s\n", a->names[i]);
}

static int issue_server(struct authority *a, struct error *err)
{
	cleanup(key_release) struct buf ca_key = { 0 }, key = { 0 };
	cleanup(buf_release) struct buf chain = { 0 }, names = { 0 };
	struct cert_authority ca = { .cert_pem = a->ca_pem };
	struct cert_server what = { .names = (const char *const *)a->names, .days = SERVER_DAYS };

	if (read_authority(a, &ca_key, err) < 0)
		return -1;
	/* The key is kept: certificate and key change at different moments, and must always fit. */
	if (!file_exists(a->server_key_path) && key_generate_file(a->server_key_path, err) < 0)
		return -1;
	if (key_read_file(a->server_key_path, &key, err) < 0)
		return -1;
	ca.key_pem = buf_str(&ca_key);
	what.key_pem = buf_str(&key);
	if (cert_issue_server(&ca, &what, &chain, err) < 0)
		return -1;
	buf_puts(&chain, a->ca_pem);
	join_names(a, &names);
	if (file_write_atomic(a->server_path, chain.data, chain.len, 0644, err) < 0)
		return -1;
	return file_write_atomic(a->names_path, names.data, names.len, 0644, err);
}

int authority_look(struct authority *a, struct error *err)
{
	cleanup(buf_release) struct buf names = { 0 };
	cleanup(freep) char *pem = NULL, *had = NULL;
	struct cert_info info;

	join_names(a, &names);
	if (file_exists(a->server_path) && file_exists(a->names_path)) {
		pem = read_text(a->server_path, err);
		had = read_text(a->names_path, err);
		if (!pem || !had || cert_read(pem, &info, err) < 0)
			return -1;
		if (strcmp(had, buf_str(&names)) == 0 &&
		    info.not_after_ms - clock_wall_ms() >
			    (info.not_after_ms - info.not_before_ms) / 3)
			return 0;
	}
	return issue_server(a, err);
}

static void set_paths(struct authority *a, const char *dir)
{
	a->dir = xstrdup(dir);
	a->ca_path = path_join(dir, "ca.pem");
	a->ca_key_path = path_join(dir, "ca.key");
	a->server_path = path_join(dir, "server.pem");
	a->server_key_path = path_join(dir, "server.key");
	a->names_path = path_join(dir, "server.names");
}

static void set_names(struct authority *a, const char *const *names)
{
	size_t n = 0;

	while (names[n])
		n++;
	a->names = xcalloc(n + 1, sizeof *a->names);
	for (size_t i = 0; i < n; i++)
		a->names[i] = xstrdup(names[i]);
}

static int load(struct authority *a, bool make, struct error *err)
{
	struct cert_info info;

	if (!file_exists(a->ca_path)) {
		cleanup(freep) char *name = xprintf("Sluice %s", a->cluster);

		if (!make) {
			error_set(err, ERR_NOT_FOUND, "there is no certificate authority in '%s'",
				  a->dir);
			return error_hint(err, "sluice-controller init makes one");
		}
		if (file_make_dirs(a->dir, 0700, err) < 0 ||
		    cert_make_authority_files(name, CA_YEARS, a->ca_key_path, a->ca_path, err) < 0)
			return -1;
	}
	a->ca_pem = read_text(a->ca_path, err);
	if (!a->ca_pem || cert_read(a->ca_pem, &info, err) < 0 ||
	    file_check_private(a->ca_key_path, err) < 0)
		return -1;
	digest_hex(&info.digest, a->ca_sha256);
	return authority_look(a, err);
}

struct authority *authority_open(const char *dir, const char *cluster, const char *const *names,
				 bool make, struct error *err)
{
	cleanup(authority_freep) struct authority *a = xcalloc(1, sizeof *a);

	a->cluster = xstrdup(cluster);
	set_paths(a, dir);
	set_names(a, names);
	if (load(a, make, err) < 0)
		return NULL;
	return steal(a);
}

void authority_free(struct authority *a)
{
	if (!a)
		return;
	for (size_t i = 0; a->names && a->names[i]; i++)
		free(a->names[i]);
	free(a->names);
	free(a->dir);
	free(a->cluster);
	free(a->ca_path);
	free(a->ca_key_path);
	free(a->server_path);
	free(a->server_key_path);
	free(a->names_path);
	free(a->ca_pem);
	free(a);
}

const char *authority_ca_pem(const struct authority *a)
{
	return a->ca_pem;
}

const char *authority_ca_sha256(const struct authority *a)
{
	return a->ca_sha256;
}

const char *authority_server_cert(const struct authority *a)
{
	return a->server_path;
}

const char *authority_server_key(const struct authority *a)
{
	return a->server_key_path;
}

const char *authority_ca_path(const struct authority *a)
{
	return a->ca_path;
}

int authority_issue_agent(struct authority *a, const char *csr_pem, const char *agent_id,
			  struct buf *ret_pem, struct cert_info *ret_info, struct error *err)
{
	cleanup(key_release) struct buf key = { 0 };
	cleanup(freep) char *uri = xprintf("spiffe://%s/agent/%s", a->cluster, agent_id);
	struct cert_authority ca = { .cert_pem = a->ca_pem };
	struct cert_client what = {
		.csr_pem = csr_pem, .common_name = agent_id, .uri = uri, .days = AGENT_DAYS
	};

	if (read_authority(a, &key, err) < 0)
		return -1;
	ca.key_pem = buf_str(&key);
	if (cert_issue_client(&ca, &what, ret_pem, err) < 0)
		return -1;
	return cert_read(buf_str(ret_pem), ret_info, err);
}
