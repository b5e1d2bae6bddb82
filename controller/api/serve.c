/*
 * Every service, in one place.
 */
#include "controller/api/private.h"

#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/events.pb-c.h"
#include "sluice/v1/logs.pb-c.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/tokens.pb-c.h"

void api_serve(struct rpc_server *server, struct api *api)
{
	const struct {
		const ProtobufCServiceDescriptor *service;
		const struct rpc_method *methods;
	} services[] = {
		{ &sluice__v1__agents__descriptor, agents_api },
		{ &sluice__v1__runs__descriptor, runs_api },
		{ &sluice__v1__logs__descriptor, logs_api },
		{ &sluice__v1__artifacts__descriptor, artifacts_api },
		{ &sluice__v1__releases__descriptor, releases_api },
		{ &sluice__v1__environments__descriptor, environments_api },
		{ &sluice__v1__tokens__descriptor, tokens_api },
		{ &sluice__v1__system__descriptor, system_api },
		{ &sluice__v1__events__descriptor, events_api },
	};

	api->server = server;
	rpc_server_guard(server, guard, api);
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		rpc_server_add(server, services[i].service, services[i].methods, api);
}
