sluice_fuzz(manifest USES sluice_blob sluice_base)
