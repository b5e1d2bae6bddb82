sluice_fuzz(message USES sluice_proto sluice_base)
