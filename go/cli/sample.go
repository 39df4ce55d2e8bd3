package cli

import _ "embed"

// sampleConfig is a copy of the repository's own configuration, kept here
// because only files beside the code can be embedded; a test compares the two.
//
//go:embed etcha.jsonnet
var sampleConfig string
