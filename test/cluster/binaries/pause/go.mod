module node-ca-trust.io/test/cluster/binaries/pause

go 1.21
