package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
)

// maxProgram is the kernel's limit (BPF_MAXINSNS).
const maxProgram = 4096

// CompileFilter turns a filter into the bytecode that the kernel runs on packets
// of an Ethernet interface. It is either an expression in a part of pcap-filter's
// language, which its error lists, or what `tcpdump -ddd EXPRESSION` prints. Unlike
// tcpdump's, our tests look through VLAN tags: "port 53" also finds tagged packets,
// and "vlan 5" looks at the outer tag and shifts nothing.
func CompileFilter(filter string) ([]bpf.RawInstruction, error) {
	return filterFor(filter, LinkEthernet, 0)
}

// filterFor compiles for what the kernel shows of a link: whole frames of Ethernet,
// of cooked ones what follows the header that we make. A snap length is the
// filter's answer; where there is neither, nothing needs to be attached.
func filterFor(filter string, link LinkType, snap int) ([]bpf.RawInstruction, error) {
	filter = strings.TrimSpace(filter)
	keep := uint32(snap)
	if snap == 0 {
		keep = maxCaptured
	}
	switch {
	case filter == "" && snap == 0:
		return nil, nil
	case filter == "":
		return bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: keep}})
	case filter[0] >= '0' && filter[0] <= '9':
		return parseBytecode(filter)
	}
	if link != LinkEthernet && link != LinkLinuxSLL {
		return nil, fmt.Errorf("expressions are not compiled for link type %d; give the output of: tcpdump -ddd EXPRESSION", link)
	}
	t, err := parseFilter(filter)
	if err != nil {
		return nil, err
	}
	g := &codegen{ethernet: link == LinkEthernet, kernel: true}
	return g.compile(t, keep)
}

// parseBytecode reads what tcpdump -ddd prints: how many instructions there are,
// then each as four numbers; or the same with commas between.
func parseBytecode(text string) ([]bpf.RawInstruction, error) {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ',' || r == '\r' })
	count, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || count != len(lines)-1 || count < 1 || count > maxProgram {
		return nil, fmt.Errorf("the filter begins like bytecode, but not with the number (1 to %d) of instructions that follow, as tcpdump -ddd prints it", maxProgram)
	}
	program := make([]bpf.RawInstruction, 0, count)
	for n, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) != 4 {
			return nil, fmt.Errorf("the filter's bytecode: instruction %d is %q, which is not four numbers", n+1, line)
		}
		var v [4]uint64
		for i, bits := range []int{16, 8, 8, 32} {
			if v[i], err = strconv.ParseUint(f[i], 10, bits); err != nil {
				return nil, fmt.Errorf("the filter's bytecode: instruction %d: %w", n+1, err)
			}
		}
		program = append(program, bpf.RawInstruction{Op: uint16(v[0]), Jt: uint8(v[1]), Jf: uint8(v[2]), K: uint32(v[3])})
	}
	return program, nil
}

// What the code keeps in scratch memory.
const (
	slotNet  = 0 // offset of the network header
	slotType = 1 // EtherType behind the tags
	slotVLAN = 2 // outer VLAN id, or noVLAN
)

const noVLAN = 0x10000

// label names a place in the code that is yet to come. Jumps only go forward.
type label int

// step is an instruction, a jump (cond or always), or a label's place.
type step struct {
	op       bpf.Instruction
	jump     bool
	cond     bpf.JumpTest
	k        uint32
	yes, no  label
	place    label
	farYes   bool
	farNo    bool
	position int
}

type codegen struct {
	ethernet bool
	kernel   bool // tags may be where only the kernel can see them
	steps    []step
	labels   label
	err      error
}

func (g *codegen) label() label { g.labels++; return g.labels }

func (g *codegen) emit(ops ...bpf.Instruction) {
	for _, op := range ops {
		g.steps = append(g.steps, step{op: op})
	}
}

func (g *codegen) branch(cond bpf.JumpTest, k uint32, yes, no label) {
	g.steps = append(g.steps, step{jump: true, cond: cond, k: k, yes: yes, no: no})
}

func (g *codegen) mark(l label) { g.steps = append(g.steps, step{place: l}) }

func (g *codegen) compile(t test, keep uint32) ([]bpf.RawInstruction, error) {
	accept, reject := g.label(), g.label()
	g.prologue()
	g.test(t, accept, reject)
	g.mark(accept)
	g.emit(bpf.RetConstant{Val: keep})
	g.mark(reject)
	g.emit(bpf.RetConstant{Val: 0})
	if g.err != nil {
		return nil, g.err
	}
	program, err := g.assemble()
	if err != nil {
		return nil, err
	}
	return bpf.Assemble(program)
}

// prologue finds the network header, through up to two tags.
func (g *codegen) prologue() {
	if !g.ethernet {
		g.emit(bpf.LoadConstant{Val: 0}, bpf.StoreScratch{N: slotNet},
			bpf.LoadConstant{Val: noVLAN}, bpf.StoreScratch{N: slotVLAN},
			bpf.LoadExtension{Num: bpf.ExtProto}, bpf.StoreScratch{N: slotType})
		return
	}
	g.emit(bpf.LoadConstant{Val: noVLAN}, bpf.StoreScratch{N: slotVLAN})
	plain, done := g.label(), g.label()
	for tags := uint32(0); tags < 3; tags++ {
		tagged := g.label()
		g.emit(bpf.LoadConstant{Val: 14 + 4*tags}, bpf.StoreScratch{N: slotNet},
			bpf.LoadAbsolute{Off: 12 + 4*tags, Size: 2}, bpf.StoreScratch{N: slotType})
		if tags == 2 {
			break
		}
		for _, tpid := range []uint32{etherVLAN, etherQinQ, etherQinQOld} {
			next := g.label()
			g.branch(bpf.JumpEqual, tpid, tagged, next)
			g.mark(next)
		}
		g.jump(plain)
		g.mark(tagged)
		if tags == 0 {
			g.emit(bpf.LoadAbsolute{Off: 14, Size: 2}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff}, bpf.StoreScratch{N: slotVLAN})
		}
	}
	g.mark(plain)
	if g.kernel { // a tag that was taken off is the outer one
		stripped := g.label()
		g.emit(bpf.LoadExtension{Num: bpf.ExtVLANTagPresent})
		g.branch(bpf.JumpNotEqual, 0, stripped, done)
		g.mark(stripped)
		g.emit(bpf.LoadExtension{Num: bpf.ExtVLANTag}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff}, bpf.StoreScratch{N: slotVLAN})
	}
	g.mark(done)
}

func (g *codegen) jump(to label) { g.branch(bpf.JumpEqual, 0, to, to) }

// test makes code that goes on at yes or at no.
func (g *codegen) test(t test, yes, no label) {
	switch t := t.(type) {
	case allOf:
		both := g.label()
		g.test(t.a, both, no)
		g.mark(both)
		g.test(t.b, yes, no)
	case anyOf:
		other := g.label()
		g.test(t.a, yes, other)
		g.mark(other)
		g.test(t.b, yes, no)
	case noneOf:
		g.test(t.a, no, yes)
	case etherTypeIs:
		g.emit(bpf.LoadScratch{Dst: bpf.RegA, N: slotType})
		g.branch(bpf.JumpEqual, uint32(t.value), yes, no)
	case lengthIs:
		g.emit(bpf.LoadExtension{Num: bpf.ExtLen})
		if t.least {
			g.branch(bpf.JumpGreaterOrEqual, t.value, yes, no)
		} else {
			g.branch(bpf.JumpLessOrEqual, t.value, yes, no)
		}
	case vlanIs:
		g.emit(bpf.LoadScratch{Dst: bpf.RegA, N: slotVLAN})
		if t.id < 0 {
			g.branch(bpf.JumpNotEqual, noVLAN, yes, no)
		} else {
			g.branch(bpf.JumpEqual, uint32(t.id), yes, no)
		}
	case protoIs:
		g.proto(t, yes, no)
	case portIn:
		g.port(t, yes, no)
	case within:
		g.within(t, yes, no)
	case macIs, groupMAC:
		if !g.ethernet {
			g.err = errors.New("ether needs an Ethernet interface")
		}
		g.mac(t, yes, no)
	default:
		g.err = fmt.Errorf("no code for %T", t)
	}
}

func (g *codegen) mac(t test, yes, no label) {
	switch t := t.(type) {
	case groupMAC:
		if t.broadcast {
			g.macAt(0, MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, yes, no)
			return
		}
		g.emit(bpf.LoadAbsolute{Off: 0, Size: 1})
		g.branch(bpf.JumpBitsSet, 1, yes, no)
	case macIs:
		g.sides(t.side, yes, no,
			func(yes, no label) { g.macAt(6, t.mac, yes, no) },
			func(yes, no label) { g.macAt(0, t.mac, yes, no) })
	}
}

// sides tests the source, the destination, or either.
func (g *codegen) sides(s side, yes, no label, src, dst func(yes, no label)) {
	switch s {
	case srcOnly:
		src(yes, no)
	case dstOnly:
		dst(yes, no)
	default:
		other := g.label()
		src(yes, other)
		g.mark(other)
		dst(yes, no)
	}
}

func (g *codegen) macAt(off uint32, mac MAC, yes, no label) {
	rest := g.label()
	g.emit(bpf.LoadAbsolute{Off: off + 2, Size: 4})
	g.branch(bpf.JumpEqual, binary.BigEndian.Uint32(mac[2:]), rest, no)
	g.mark(rest)
	g.emit(bpf.LoadAbsolute{Off: off, Size: 2})
	g.branch(bpf.JumpEqual, uint32(binary.BigEndian.Uint16(mac[:])), yes, no)
}

// network loads from the network header on.
func (g *codegen) network(off uint32, size int) {
	g.emit(bpf.LoadScratch{Dst: bpf.RegX, N: slotNet}, bpf.LoadIndirect{Off: off, Size: size})
}

// family goes on at v4, v6, or no.
func (g *codegen) family(v4, v6, no label) {
	other := g.label()
	g.emit(bpf.LoadScratch{Dst: bpf.RegA, N: slotType})
	g.branch(bpf.JumpEqual, NetIPv4, v4, other)
	g.mark(other)
	g.branch(bpf.JumpEqual, NetIPv6, v6, no)
}

func (g *codegen) proto(t protoIs, yes, no label) {
	v4, v6 := g.label(), g.label()
	switch t.net {
	case NetIPv4:
		g.family(v4, no, no)
	case NetIPv6:
		g.family(no, v6, no)
	default:
		g.family(v4, v6, no)
	}
	if t.net != NetIPv6 {
		g.mark(v4)
		g.network(9, 1)
		g.branch(bpf.JumpEqual, uint32(t.value), yes, no)
	}
	if t.net != NetIPv4 { // also behind a fragment header, as tcpdump does
		other, fragment := g.label(), g.label()
		g.mark(v6)
		g.network(6, 1)
		g.branch(bpf.JumpEqual, uint32(t.value), yes, other)
		g.mark(other)
		g.branch(bpf.JumpEqual, extFragment, fragment, no)
		g.mark(fragment)
		g.network(40, 1)
		g.branch(bpf.JumpEqual, uint32(t.value), yes, no)
	}
}

func (g *codegen) oneOf(values []uint8, yes, no label) {
	for i, v := range values {
		next := no
		if i < len(values)-1 {
			next = g.label()
		}
		g.branch(bpf.JumpEqual, uint32(v), yes, next)
		if next != no {
			g.mark(next)
		}
	}
}

func (g *codegen) port(t portIn, yes, no label) {
	v4, v6, first4, has4, has6 := g.label(), g.label(), g.label(), g.label(), g.label()
	g.family(v4, v6, no)

	g.mark(v4)
	g.network(9, 1)
	g.oneOf(t.protos, first4, no)
	g.mark(first4)
	g.network(6, 2)
	g.branch(bpf.JumpBitsSet, 0x1fff, no, has4) // only the first fragment has ports
	g.mark(has4)
	at := func(off uint32) func(yes, no label) {
		return func(yes, no label) {
			g.network(0, 1) // header length, onto the header's offset in X
			g.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 15}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2},
				bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{}, bpf.LoadIndirect{Off: off, Size: 2})
			g.between(t.from, t.to, yes, no)
		}
	}
	g.sides(t.side, yes, no, at(0), at(2))

	g.mark(v6)
	g.network(6, 1)
	g.oneOf(t.protos, has6, no)
	g.mark(has6)
	at = func(off uint32) func(yes, no label) {
		return func(yes, no label) {
			g.network(40+off, 2)
			g.between(t.from, t.to, yes, no)
		}
	}
	g.sides(t.side, yes, no, at(0), at(2))
}

func (g *codegen) between(from, to uint16, yes, no label) {
	if from == to {
		g.branch(bpf.JumpEqual, uint32(from), yes, no)
		return
	}
	most := g.label()
	g.branch(bpf.JumpGreaterOrEqual, uint32(from), most, no)
	g.mark(most)
	g.branch(bpf.JumpLessOrEqual, uint32(to), yes, no)
}

func (g *codegen) within(t within, yes, no label) {
	addr := t.prefix.Addr().AsSlice()
	at := func(off uint32) func(yes, no label) {
		return func(yes, no label) { g.masked(off, addr, t.prefix.Bits(), yes, no) }
	}
	if len(addr) == 16 {
		v6 := g.label()
		g.family(no, v6, no)
		g.mark(v6)
		g.sides(t.side, yes, no, at(8), at(24))
		return
	}
	v4, other, arp := g.label(), g.label(), g.label()
	g.emit(bpf.LoadScratch{Dst: bpf.RegA, N: slotType})
	g.branch(bpf.JumpEqual, NetIPv4, v4, other)
	g.mark(other)
	g.branch(bpf.JumpEqual, NetARP, arp, no)
	g.mark(v4)
	g.sides(t.side, yes, no, at(12), at(16))
	g.mark(arp)
	g.sides(t.side, yes, no, at(14), at(24))
}

func (g *codegen) masked(off uint32, addr []byte, bits int, yes, no label) {
	if bits == 0 {
		g.jump(yes)
		return
	}
	for i := 0; bits > 0; i, bits = i+4, bits-32 {
		word := binary.BigEndian.Uint32(addr[i:])
		g.network(off+uint32(i), 4)
		next := yes
		if bits > 32 {
			next = g.label()
		} else if bits < 32 {
			g.emit(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: ^uint32(0) << (32 - bits)})
		}
		g.branch(bpf.JumpEqual, word, next, no)
		if next != yes {
			g.mark(next)
		}
	}
}

// assemble puts numbers to labels. A condition reaches 255 instructions far; beyond
// that it jumps to an unconditional jump behind it.
func (g *codegen) assemble() ([]bpf.Instruction, error) {
	places := make([]int, g.labels+1)
	for changed := true; changed; {
		changed = false
		at := 0
		for i := range g.steps {
			s := &g.steps[i]
			s.position = at
			switch {
			case s.place != 0:
				places[s.place] = at
			case s.jump && s.yes != s.no:
				at += 1 + count(s.farYes) + count(s.farNo)
			default:
				at++
			}
		}
		if at > maxProgram {
			return nil, fmt.Errorf("the filter becomes %d instructions long; the kernel takes %d", at, maxProgram)
		}
		for i := range g.steps {
			s := &g.steps[i]
			if !s.jump || s.yes == s.no {
				continue
			}
			if !s.farYes && places[s.yes]-s.position-1 > 255 {
				s.farYes, changed = true, true
			}
			if !s.farNo && places[s.no]-s.position-1 > 255 {
				s.farNo, changed = true, true
			}
		}
	}
	var program []bpf.Instruction
	far := func(l label) { program = append(program, bpf.Jump{Skip: uint32(places[l] - len(program) - 1)}) }
	for _, s := range g.steps {
		switch {
		case s.place != 0:
		case !s.jump:
			program = append(program, s.op)
		case s.yes == s.no:
			far(s.yes)
		default:
			skip := bpf.JumpIf{Cond: s.cond, Val: s.k}
			if !s.farYes {
				skip.SkipTrue = uint8(places[s.yes] - s.position - 1)
			}
			if s.farNo {
				skip.SkipFalse = uint8(count(s.farYes))
			} else {
				skip.SkipFalse = uint8(places[s.no] - s.position - 1)
			}
			program = append(program, skip)
			if s.farYes {
				far(s.yes)
			}
			if s.farNo {
				far(s.no)
			}
		}
	}
	return program, nil
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
