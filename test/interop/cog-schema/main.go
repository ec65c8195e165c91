// Prints a JSON line for each on standard input, which is the source of a predict.py as a JSON text: the OpenAPI document that Cog
// makes of it, or the words with which it refuses.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"github.com/replicate/cog/pkg/schema"
	"github.com/replicate/cog/pkg/schema/python"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var source string
		must(json.Unmarshal(lines.Bytes(), &source))
		document, err := schema.GenerateFromSource([]byte(source), "Predictor", schema.ModePredict, python.ParsePredictor, "")
		if err != nil {
			must(answers.Encode(map[string]string{"refusal": err.Error()}))
		} else {
			must(answers.Encode(map[string]json.RawMessage{"document": document}))
		}
	}
	must(lines.Err())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
