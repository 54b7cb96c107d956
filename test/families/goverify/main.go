// Says of each certificate in PEM on standard input whether a Go program on this host trusts it as a root: "trusted", or
// why not. containerd, CRI-O, dockerd and the kubelet look into the store in this way.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
)

func main() {
	rest, _ := io.ReadAll(os.Stdin)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return
		}
		fmt.Println(judge(block.Bytes))
	}
}

func judge(der []byte) string {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return err.Error()
	}
	any := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	if _, err := certificate.Verify(x509.VerifyOptions{KeyUsages: any}); err != nil {
		return err.Error()
	}
	return "trusted"
}
