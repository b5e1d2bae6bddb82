sluice_fuzz(rpc USES rpctest)
