sluice_race(agent USES agenthost)
