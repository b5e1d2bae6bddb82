sluice_race(base USES sluice_base)
