// Answers questions put to OPA, one JSON object per line: {"policy", "query", "input", "v0"}.
//
// The answer is {"value": ...}, {"undefined": true} or {"error": "..."}; built-ins that fail are errors.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

type question struct {
	Policy string      `json:"policy"`
	Query  string      `json:"query"`
	Input  interface{} `json:"input"`
	V0     bool        `json:"v0"`
}

func answer(asked question) map[string]interface{} {
	version := ast.RegoV1
	if asked.V0 {
		version = ast.RegoV0
	}
	evaluation := rego.New(
		rego.Query(asked.Query),
		rego.Module("policy.rego", asked.Policy),
		rego.Input(asked.Input),
		rego.SetRegoVersion(version),
		rego.StrictBuiltinErrors(true),
	)
	results, err := evaluation.Eval(context.Background())
	if err != nil {
		return map[string]interface{}{"error": fmt.Sprint(err)}
	}
	if len(results) == 0 {
		return map[string]interface{}{"undefined": true}
	}
	return map[string]interface{}{"value": results[0].Expressions[0].Value}
}

func main() {
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var asked question
		if questions.Decode(&asked) != nil {
			return
		}
		line, err := json.Marshal(answer(asked))
		if err != nil {
			line = []byte(`{"error": "a value that is no JSON"}`)
		}
		os.Stdout.Write(append(line, '\n'))
	}
}
