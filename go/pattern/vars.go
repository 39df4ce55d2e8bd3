package pattern

import (
	"encoding/json"
	"maps"
)

// Vars is what a Pattern learns. Of the maps the later wins, name by name; what
// stands after them wins over each map.
type Vars struct {
	Run    map[string]json.RawMessage // runVars of the artifact
	Main   map[string]json.RawMessage // vars of the configuration
	Source map[string]json.RawMessage // vars of the source
	Target map[string]json.RawMessage // vars of the target of a push

	SourceName string          // var source
	TargetName string          // var target
	Test       bool            // var test: etcha test runs
	JWT        json.RawMessage // var jwt: the claims of the artifact; nil: null
	SrcDir     string          // var srcDir; empty: the folder of the rendered file
	SrcPath    string          // var srcPath; empty: the rendered file
	Sysinfo    *Sysinfo        // var sysinfo; nil: null
}

// Merged is the vars as a Pattern sees them.
func (v Vars) Merged() (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage)
	for _, level := range []map[string]json.RawMessage{v.Run, v.Main, v.Source, v.Target} {
		maps.Copy(out, level)
	}
	for name, value := range map[string]any{
		"source": v.SourceName, "target": v.TargetName, "test": v.Test, "jwt": v.JWT,
		"srcDir": v.SrcDir, "srcPath": v.SrcPath, "sysinfo": v.Sysinfo,
	} {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	return out, nil
}

func (v Vars) merge(srcDir, srcPath string) (json.RawMessage, error) {
	if v.SrcDir == "" {
		v.SrcDir = srcDir
	}
	if v.SrcPath == "" {
		v.SrcPath = srcPath
	}
	all, err := v.Merged()
	if err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
