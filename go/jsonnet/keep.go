package jsonnet

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
)

// memory is what native functions found in one evaluation, and what that
// depends on. An abandoned evaluation may still write.
type memory struct {
	mu     sync.Mutex
	kept   map[string]json.RawMessage // from an earlier evaluation
	new    map[string]json.RawMessage
	asked  map[string]bool // variables of the environment
	varied bool            // another evaluation of the same may give another value
}

func newMemory(kept map[string]json.RawMessage) *memory {
	return &memory{kept: kept, new: make(map[string]json.RawMessage), asked: make(map[string]bool)}
}

func (m *memory) askedFor(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked[key] = true
}

func (m *memory) varies() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.varied = true
}

// found is what was called with cache: true.
func (m *memory) found() map[string]json.RawMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.new)
}

// kept is f with a last argument cache: with true, a value that an earlier
// evaluation found counts, and one that is found now is kept. The first of the
// arguments, as many as named tells, are what a value depends on; the fallback
// does not count, so that a value found with one is the same with another.
func (n natives) kept(name string, named int, f function) function {
	return func(args []any) (any, error) {
		cache, ok := args[len(args)-1].(bool)
		if !ok && args[len(args)-1] != nil {
			return nil, fmt.Errorf("cache: true or false is needed")
		}
		if !cache {
			return f(args)
		}
		key, err := keepKey(name, args[:named])
		if err != nil {
			return nil, err
		}
		return n.memory.recall(key, func() (any, error) { return f(args) })
	}
}

func keepKey(name string, args []any) (string, error) {
	text, err := json.Marshal(args)
	if err != nil {
		return "", err
	}
	return name + string(text), nil
}

func (m *memory) recall(key string, find func() (any, error)) (any, error) {
	m.mu.Lock()
	raw, ok := m.kept[key]
	if !ok {
		raw, ok = m.new[key]
	}
	m.mu.Unlock()
	if ok {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("the kept value: %w", err)
		}
		m.keep(key, raw)
		return v, nil
	}
	v, err := find()
	if err != nil {
		return nil, err
	}
	raw, err = json.Marshal(v)
	if err != nil {
		return nil, err
	}
	m.keep(key, raw)
	return v, nil
}

func (m *memory) keep(key string, raw json.RawMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.new[key] = raw
}
