sluice_fuzz(shim USES sluice_supervise)
