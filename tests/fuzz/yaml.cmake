sluice_fuzz(yaml USES sluice_spec)
