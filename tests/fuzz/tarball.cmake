sluice_fuzz(tarball USES sluice_blob sluice_base)
