package host

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Sensor is a thermometer or a fan, by the driver that reads it.
type Sensor struct {
	ID    string // chip and place: "coretemp_temp1"; a number follows the chip when there are several
	Chip  string // "coretemp"
	Label string // "Core 0", "" when the driver gives none
	Value float64
}

// maxSensors bounds what one host may have.
const maxSensors = 1024

var sensorFile = regexp.MustCompile(`^(temp|fan)[0-9]+_input$`)

// Sensors reads thermometers, in degrees Celsius, and fans, in revolutions a minute. One
// that can't be read, or says what cannot be, is counted in faults and left out.
func (h *Host) Sensors(faults *Faults) (temperatures, fans []Sensor) {
	chips, _ := filepath.Glob(h.Path("/sys/class/hwmon/hwmon*"))
	slices.Sort(chips)
	seen := map[string]int{}
	for _, dir := range chips {
		chip, err := readText(filepath.Join(dir, "name"))
		if err != nil || chip == "" {
			chip = filepath.Base(dir)
		}
		id := chip
		if seen[chip]++; seen[chip] > 1 {
			id = fmt.Sprintf("%s%d", chip, seen[chip])
		}
		files, err := os.ReadDir(dir)
		faults.Note(err)
		for _, file := range files {
			if !sensorFile.MatchString(file.Name()) || len(temperatures)+len(fans) >= maxSensors {
				continue
			}
			place := strings.TrimSuffix(file.Name(), "_input")
			v, err := readNumber(filepath.Join(dir, file.Name()))
			temperature := strings.HasPrefix(place, "temp")
			if temperature {
				v /= 1000
			}
			if err == nil && !plausible(v, temperature) {
				err = fmt.Errorf("sensor %s of %s says %v", place, chip, v)
			}
			if err != nil {
				faults.Note(err)
				continue
			}
			label, _ := readText(filepath.Join(dir, place+"_label"))
			s := Sensor{ID: id + "_" + place, Chip: chip, Label: label, Value: v}
			if temperature {
				temperatures = append(temperatures, s)
			} else {
				fans = append(fans, s)
			}
		}
	}
	if len(chips) == 0 { // boards without hwmon drivers still have zones
		temperatures = h.zones(faults)
	}
	return temperatures, fans
}

func (h *Host) zones(faults *Faults) (out []Sensor) {
	dirs, _ := filepath.Glob(h.Path("/sys/class/thermal/thermal_zone*"))
	slices.Sort(dirs)
	for _, dir := range dirs[:min(len(dirs), maxSensors)] {
		v, err := readNumber(filepath.Join(dir, "temp"))
		v /= 1000
		if err == nil && !plausible(v, true) {
			err = fmt.Errorf("%s says %v", dir, v)
		}
		if err != nil {
			faults.Note(err)
			continue
		}
		kind, _ := readText(filepath.Join(dir, "type"))
		out = append(out, Sensor{ID: filepath.Base(dir), Chip: kind, Value: v})
	}
	return out
}

// plausible refuses what drivers say of sensors that are not there.
func plausible(v float64, temperature bool) bool {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return false
	}
	if temperature {
		return v > -100 && v < 250
	}
	return v >= 0 && v < 1e6
}
