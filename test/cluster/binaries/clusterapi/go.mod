module node-ca-trust.io/test/cluster/binaries/clusterapi

go 1.25
