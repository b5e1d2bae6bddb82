sluice_fuzz(journal USES sluice_agent)
