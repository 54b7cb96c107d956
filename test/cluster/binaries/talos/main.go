// Judges a document of Talos' machine configuration, read from standard input, by Talos' own loader and validator.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
)

// What a document is to be used for: a machine that Talos is installed on.
type metal struct{}

func (metal) String() string       { return "metal" }
func (metal) RequiresInstall() bool { return false }
func (metal) InContainer() bool     { return false }

func main() {
	if err := judge(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge() error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	configuration, err := configloader.NewFromBytes(text)
	if err != nil {
		return err
	}
	if _, err := configuration.Validate(metal{}); err != nil {
		return err
	}
	for _, document := range configuration.Documents() {
		fmt.Println(document.Kind())
	}
	for _, certificates := range configuration.TrustedRoots().ExtraTrustedRootCertificates() {
		fmt.Print(certificates)
	}
	return nil
}
