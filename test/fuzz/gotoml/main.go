// Gotoml says what both of the TOML readers that containerd was built with (go-toml 1 up to containerd 1.7, go-toml 2
// from 2.0 on) make of a hosts.toml. It reads texts from its standard input, each a JSON string on a line of its own, and
// prints one line of JSON for each: what each reader found, and in which order containerd would try the hosts.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"

	v1 "github.com/pelletier/go-toml"
	v2 "github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

type reading struct {
	Error string         `json:"error,omitempty"`
	Data  map[string]any `json:"data"`
	Hosts []string       `json:"hosts"`
}

func readV1(text []byte) reading {
	tree, err := v1.LoadBytes(text)
	if err != nil {
		return reading{Error: err.Error()}
	}
	hosts := []string{}
	if table, ok := tree.Get("host").(*v1.Tree); ok {
		hosts = table.Keys()
		line := func(i int) int { return table.GetPositionPath([]string{hosts[i]}).Line }
		sort.SliceStable(hosts, func(i, j int) bool { return line(i) < line(j) })
	}
	return reading{Data: tree.ToMap(), Hosts: hosts}
}

func readV2(text []byte) reading {
	data := map[string]any{}
	if err := v2.Unmarshal(text, &data); err != nil {
		return reading{Error: err.Error()}
	}
	parser := unstable.Parser{}
	parser.Reset(text)
	hosts := []string{}
	seen := map[string]bool{}
	for parser.NextExpression() {
		if parser.Expression().Kind != unstable.Table {
			continue
		}
		names := []string{}
		for key := parser.Expression().Key(); key.Next(); {
			names = append(names, string(key.Node().Data))
		}
		if len(names) > 1 && names[0] == "host" && !seen[names[1]] {
			seen[names[1]] = true
			hosts = append(hosts, names[1])
		}
	}
	return reading{Data: data, Hosts: hosts}
}

func main() {
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.More() {
		var text string
		err := in.Decode(&text)
		line, failed := json.Marshal([]reading{readV1([]byte(text)), readV2([]byte(text))})
		if err != nil || failed != nil {
			fmt.Fprintln(os.Stderr, err, failed)
			os.Exit(1)
		}
		fmt.Fprintln(out, string(line))
	}
}
