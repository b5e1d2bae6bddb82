sluice_race(engine USES sluice_engine)
sluice_race(logbook USES sluice_logs)
