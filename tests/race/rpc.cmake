sluice_race(rpc USES rpctest)
