//go:build race

package testkit

// raceDetector: the programs under test are built with it too.
const raceDetector = true
