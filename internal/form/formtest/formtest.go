// Package formtest fills states for tests, so that a field that a walk leaves out shows.
package formtest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"unsafe"
)

// Fill gives every field of what p points to a value that is not zero, also those that are not
// exported: maps and slices get three items, flags are true, numbers are from 1 to 100. Fields
// named in skip ("Type.field") are left as they are.
func Fill(p any, seed uint64, skip ...string) {
	f := filler{rand.New(rand.NewPCG(seed, 1)), map[string]bool{}}
	for _, s := range skip {
		f.skip[s] = true
	}
	f.fill(reflect.ValueOf(p).Elem())
}

type filler struct {
	*rand.Rand
	skip map[string]bool
}

func (f *filler) fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[netip.Addr]() {
		a := [16]byte{0x20, 1, 15: byte(f.IntN(256)), 14: byte(f.IntN(256))}
		v.Set(reflect.ValueOf(netip.AddrFrom16(a)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1 + f.Int64N(100))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + f.Uint64N(100))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(1+f.IntN(800)) / 8)
	case reflect.String:
		v.SetString(fmt.Sprintf("%x", f.Uint32()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for v.Len() < 3 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !f.skip[v.Type().Name()+"."+v.Type().Field(i).Name] {
				x := v.Field(i)
				f.fill(reflect.NewAt(x.Type(), unsafe.Pointer(x.UnsafeAddr())).Elem())
			}
		}
	default:
		panic("formtest: can't fill " + v.Type().String())
	}
}
