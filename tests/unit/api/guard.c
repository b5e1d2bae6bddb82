/*
 * Who is let in: roles by access bits, agents by certificate, and what the tables of rows say.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "controller/api/private.h"
#include "crypto/keys.h"
#include "house.h"
#include "sluice/v1/agents.pb-c.h"

#define AGENT_ID   "0190a5b2-7c1e-7abc-8def-0123456789ab"
#define SERIAL	   "0A1B2C"
#define ROLE(name) SLUICE__V1__ROLE__##name

static struct house *house;
static struct api api;
static struct error err;

static void put_token(const char *name, Sluice__V1__Role role, int64_t expires_ms, bool revoked)
{
	Sluice__V1__Token t = SLUICE__V1__TOKEN__INIT;
	struct digest hash = token_hash(name);
	char hex[DIGEST_HEX_SIZE];

	t.id = (char *)name;
	t.name = (char *)name;
	t.role = role;
	t.hash = digest_hex(&hash, hex);
	t.expires_ms = expires_ms;
	t.revoked = revoked;
	house_put(house, ROW_TOKEN, &t);
}

static void put_agent(const char *id, const char *name, Sluice__V1__Agent__State state)
{
	Sluice__V1__Certificate good = SLUICE__V1__CERTIFICATE__INIT, over = good;
	Sluice__V1__Certificate *all[] = { &good, &over };
	Sluice__V1__Agent a = SLUICE__V1__AGENT__INIT;

	good.serial = (char *)SERIAL;
	good.not_after_ms = clock_wall_ms() + 3600 * 1000;
	over.serial = (char *)"0FF0";
	over.not_after_ms = clock_wall_ms() - 1;
	a.id = (char *)id;
	a.name = (char *)name;
	a.state = state;
	a.certificates = all;
	a.n_certificates = 2;
	house_put(house, ROW_AGENT, &a);
}

static void begin(void)
{
	house = house_new();
	put_token("viewer", ROLE(VIEWER), 0, false);
	put_token("operator", ROLE(OPERATOR), 0, false);
	put_token("approver", ROLE(APPROVER), clock_wall_ms() + 3600 * 1000, false);
	put_token("admin", ROLE(ADMIN), 0, false);
	put_token("nobody", ROLE(ROLE_UNSPECIFIED), 0, false);
	put_token("expired", ROLE(ADMIN), clock_wall_ms() - 1, false);
	put_token("revoked", ROLE(ADMIN), 0, true);
	put_agent(AGENT_ID, "gpu-1", SLUICE__V1__AGENT__STATE__ENABLED);
	put_agent("0190a5b2-7c1e-7abc-8def-0123456789ac", "gpu-2",
		  SLUICE__V1__AGENT__STATE__REVOKED);
	house_start(house);
	api = (struct api){ .engine = house->engine, .store = house->store, .cluster = "lab" };
}

static void end(void)
{
	house_free(house);
}

TestSuite(guard, .init = begin, .fini = end, .timeout = 60);

static bool admits(struct rpc_caller caller, unsigned access, struct rpc_identity *ret)
{
	caller.service = "sluice.v1.Things";
	caller.method = "Do";
	caller.peer_uri = caller.peer_uri ?: "";
	caller.cert_serial = caller.cert_serial ?: "";
	caller.bearer = caller.bearer ?: "";
	caller.address = "ipv4:127.0.0.1:1";
	error_clear(&err);
	return guard(&api, &caller, access, ret, &err) == 0;
}

static bool let_in(struct rpc_caller caller, unsigned access)
{
	struct rpc_identity who = { 0 };
	bool in = admits(caller, access, &who);

	if (in)
		who.identity_free(who.identity);
	else
		cr_expect_null(who.identity, "who is refused is nobody");
	return in;
}

static bool user(const char *bearer, unsigned access)
{
	return let_in((struct rpc_caller){ .listener = RPC_USERS, .bearer = bearer }, access);
}

static bool agent(const char *uri, const char *serial, unsigned access)
{
	return let_in((struct rpc_caller){ .listener = RPC_AGENTS,
					   .peer_uri = uri,
					   .cert_serial = serial },
		      access);
}

Test(guard, a_role_may_what_it_and_those_below_may)
{
	static const char *const roles[] = { "nobody", "viewer", "operator", "approver", "admin" };
	static const struct {
		unsigned access;
		bool may[ARRAY_SIZE(roles)];
		const char *needs;
	} table[] = {
		{ VIEWER, { 0, 1, 1, 1, 1 }, "viewer" },
		{ OPERATOR, { 0, 0, 1, 1, 1 }, "operator" },
		{ APPROVER, { 0, 0, 0, 1, 1 }, "approver" },
		{ ADMIN, { 0, 0, 0, 0, 1 }, "admin" },
		{ AGENT, { 0, 0, 0, 0, 0 }, "agent" },
		{ AGENT | VIEWER, { 0, 1, 1, 1, 1 }, "viewer" },
		{ AGENT | OPERATOR, { 0, 0, 1, 1, 1 }, "operator" },
		{ VIEWER | ADMIN, { 0, 1, 1, 1, 1 }, "viewer" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		for (size_t r = 0; r < ARRAY_SIZE(roles); r++) {
			bool may = user(roles[r], table[i].access);

			cr_expect_eq(may, table[i].may[r], "%s, access %u: %s", roles[r],
				     table[i].access, err.text);
			if (may)
				continue;
			cr_expect_str_eq(err.id, "E0302");
			cr_expect(strstr(err.text, table[i].needs), "%s", err.text);
			cr_expect(strstr(err.text, roles[r]), "%s", err.text);
		}
}

Test(guard, a_caller_is_who_its_token_says)
{
	struct rpc_identity who = { 0 };
	const struct identity *i;

	cr_assert(admits((struct rpc_caller){ .listener = RPC_USERS, .bearer = "approver" }, VIEWER,
			 &who));
	i = who.identity;
	cr_expect_not(i->is_agent);
	cr_expect_eq(i->caller.role, ROLE(APPROVER));
	cr_expect_eq(i->caller.actor->kind, SLUICE__V1__ACTOR__KIND__USER);
	cr_expect_str_eq(i->caller.actor->name, "approver");
	cr_expect_str_eq(i->token->hash, "", "the hash stays in the model");
	who.identity_free(who.identity);
}

Test(guard, a_token_that_is_not_good_is_not_known)
{
	static const char *const bad[] = { "", "unknown", "expired", "revoked", "viewer " };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_not(user(bad[i], VIEWER | OPERATOR | APPROVER | ADMIN), "'%s'", bad[i]);
		cr_expect_str_eq(err.id, "E0301", "'%s': %s", bad[i], err.text);
	}
}

Test(guard, joining_needs_no_token_but_the_one_in_the_request)
{
	cr_expect(user("", ENROL));
	cr_expect_not(agent("spiffe://lab/agent/" AGENT_ID, SERIAL, ENROL));
	cr_expect_str_eq(err.id, "E0302");
}

Test(guard, an_agent_is_let_in_to_what_is_for_agents)
{
	static const char uri[] = "spiffe://lab/agent/" AGENT_ID;
	struct rpc_identity who = { 0 };
	const struct identity *i;

	cr_assert(admits((struct rpc_caller){ .listener = RPC_AGENTS,
					      .peer_uri = uri,
					      .cert_serial = SERIAL },
			 AGENT | VIEWER, &who),
		  "%s", err.text);
	i = who.identity;
	cr_expect(i->is_agent);
	cr_expect_str_eq(i->agent, AGENT_ID);
	cr_expect_null(i->token);
	who.identity_free(who.identity);
	cr_expect_not(agent(uri, SERIAL, VIEWER | OPERATOR | APPROVER | ADMIN));
	cr_expect_str_eq(err.id, "E0302");
}

Test(guard, a_certificate_that_is_not_good_lets_nobody_in)
{
	static const struct {
		const char *uri, *serial;
	} bad[] = {
		{ "", "" },
		{ "", SERIAL },
		{ "spiffe://lab/agent/" AGENT_ID, "" },
		{ "spiffe://lab/agent/" AGENT_ID, "0D0D" },
		{ "spiffe://lab/agent/" AGENT_ID, "0FF0" }, /* its own, but over */
		{ "spiffe://elsewhere/agent/" AGENT_ID, SERIAL },
		{ "spiffe://lab/user/" AGENT_ID, SERIAL },
		{ "spiffe://lab/agent/0190a5b2-7c1e-7abc-8def-0123456789ff", SERIAL },
		{ "spiffe://lab/agent/0190a5b2-7c1e-7abc-8def-0123456789ac", SERIAL }, /* revoked */
		{ "spiffe://lab/agent/gpu-1", SERIAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_not(agent(bad[i].uri, bad[i].serial, AGENT), "'%s'", bad[i].uri);
		cr_expect_str_eq(err.id, "E0303", "'%s' '%s': %s", bad[i].uri, bad[i].serial,
				 err.text);
	}
}

/* A certificate means nothing where users come in, nor a token where agents do. */
Test(guard, each_listener_has_its_own_kind_of_proof)
{
	cr_expect_not(let_in((struct rpc_caller){ .listener = RPC_USERS,
						  .peer_uri = "spiffe://lab/agent/" AGENT_ID,
						  .cert_serial = SERIAL },
			     AGENT));
	cr_expect_str_eq(err.id, "E0301");
	cr_expect_not(
		let_in((struct rpc_caller){ .listener = RPC_AGENTS, .bearer = "admin" }, VIEWER));
	cr_expect_str_eq(err.id, "E0303");
}

/* Read off the tables that the server gets. */
Test(guard_tables, who_only_looks_may_call_nothing_that_changes_something)
{
	static const char *const looks[] = { "Get",	"List",	  "Watch",   "Why",
					     "Queue",	"Read",	  "History", "Download",
					     "Lineage", "WhoAmI", "Info" };
	const struct rpc_method *const all[] = { agents_api,	runs_api,     logs_api,
						 artifacts_api, releases_api, environments_api,
						 tokens_api,	system_api,   events_api };
	size_t rows = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (const struct rpc_method *m = all[i]; m->name; m++, rows++) {
			bool look = false;

			for (size_t n = 0; n < ARRAY_SIZE(looks); n++)
				look |= strcmp(m->name, looks[n]) == 0;
			cr_expect_not(m->access & PUBLIC, "%s is for anybody", m->name);
			cr_expect(look || !(m->access & VIEWER), "%s is for viewers", m->name);
			cr_expect(!(m->access & ENROL) || strcmp(m->name, "Enrol") == 0, "%s",
				  m->name);
		}
	cr_expect_gt(rows, 30);
}
