// Goparse says of each certificate on its standard input whether Go's crypto/x509 parses it, as containerd, CRI-O and
// kubelet would. It reads PEM and prints one line for each block: "ok", the version, whether it is a CA and may sign, and
// whether anything can be verified with it; or "error" and the reason.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
)

func main() {
	rest, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			fmt.Fprintf(out, "error %q\n", err)
			continue
		}
		hasKeyUsage := false
		for _, extension := range certificate.Extensions {
			hasKeyUsage = hasKeyUsage || extension.Id.String() == "2.5.29.15"
		}
		maySign := !hasKeyUsage || certificate.KeyUsage&x509.KeyUsageCertSign != 0
		isKnown := certificate.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm && certificate.PublicKeyAlgorithm != x509.DSA
		isHandled := len(certificate.UnhandledCriticalExtensions) == 0
		fmt.Fprintf(out, "ok %d %t %t\n", certificate.Version, certificate.IsCA && maySign, isKnown && isHandled)
	}
}
