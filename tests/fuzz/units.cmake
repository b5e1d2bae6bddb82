sluice_fuzz(units USES sluice_base)
