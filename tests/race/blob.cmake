sluice_race(blob USES sluice_blob sluice_crypto sluice_base)
