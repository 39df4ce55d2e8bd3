package token

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// schema is the shape of a Go type as far as encoding/json matches names to it.
// A nil schema has any shape.
type schema struct {
	fields map[string]*schema // of a struct; nil: names are free
	elem   *schema            // of a list, or of a map's values
	long   bool               // the scanner tells where it is
}

// schemaOf follows a type's json tags. The types it is made for have no
// embedded fields and no cycles.
func schemaOf(t reflect.Type) *schema {
	if t.Implements(reflect.TypeFor[json.Unmarshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Slice, reflect.Array, reflect.Map:
		if below := schemaOf(t.Elem()); below != nil {
			return &schema{elem: below}
		}
	case reflect.Struct:
		s := &schema{fields: make(map[string]*schema, t.NumField())}
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			if f.IsExported() && name != "-" {
				s.fields[name] = schemaOf(f.Type)
			}
		}
		return s
	}
	return nil
}

// member is the shape of the member called name. A name that only case tells
// from a known one is refused: encoding/json would take it for that one.
func (s *schema) member(name string) (*schema, error) {
	if s == nil {
		return nil, nil
	}
	if s.fields == nil {
		return s.elem, nil
	}
	if below, ok := s.fields[name]; ok {
		return below, nil
	}
	for known := range s.fields {
		if strings.EqualFold(known, name) {
			return nil, fmt.Errorf("%w: %.64q and %q", errCase, name, known)
		}
	}
	return nil, nil
}

func (s *schema) element() *schema {
	if s == nil {
		return nil
	}
	return s.elem
}
