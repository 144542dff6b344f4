// Package flatjson writes log records as JSON without going through an object in between: [Encoder]
// as one flat object a line, by the schemas in schema/, and what it is made of for those whose
// objects have another shape.
//
// It promises valid JSON and UTF-8 whatever a record holds, and no control character in it, so that
// a name from the wire can't speak to a terminal; NaN and the infinities become null, and what
// lies deeper than [MaxDepth] too. It allocates nothing but the buffer that it appends to.
package flatjson
