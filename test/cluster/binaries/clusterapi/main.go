// Judges a part of a KubeadmConfigSpec of Cluster API, read from standard input, by its Go types: every field must be one.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	bootstrap "sigs.k8s.io/cluster-api/bootstrap/kubeadm/api/v1beta1"
	"sigs.k8s.io/yaml"
)

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
	var spec bootstrap.KubeadmConfigSpec
	if err := yaml.UnmarshalStrict(text, &spec); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"files": spec.Files, "preKubeadmCommands": spec.PreKubeadmCommands,
	})
}
