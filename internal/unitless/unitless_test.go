package unitless

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/config/configoptional"
)

type inner struct {
	Wait time.Duration `mapstructure:"wait"`
}

type config struct {
	inner   `mapstructure:",squash"`
	Squash  inner         `mapstructure:",squash"`
	Every   time.Duration `mapstructure:"every"`
	None    time.Duration `mapstructure:"none"`
	Back    time.Duration `mapstructure:"back"`
	Enough  time.Duration `mapstructure:"enough"`
	List    []inner       `mapstructure:"list"`
	Named   map[string]inner
	Plain   []string                       `mapstructure:"plain"`
	Set     configoptional.Optional[inner] `mapstructure:"set"`
	Default configoptional.Optional[inner] `mapstructure:"default"`
	Pointer *inner                         `mapstructure:"pointer"`
	Nil     *inner                         `mapstructure:"nil"`
	Count   int64                          `mapstructure:"count"`
	own     time.Duration
}

func TestCheck(t *testing.T) {
	c := config{
		Squash: inner{7}, Every: 120, Back: -1, Enough: Least, List: []inner{{time.Second}, {30}}, Named: map[string]inner{"b": {1}, "a": {2}},
		Plain: []string{"x"}, Set: configoptional.Some(inner{5}), Default: configoptional.Default(inner{5}), Pointer: &inner{999_999}, Count: 3, own: 1,
	}
	const why = ", which is too short: has it no unit? A number alone is of nanoseconds; write "
	want := "wait is 7ns" + why + "7s for seconds\n" +
		"every is 120ns" + why + "120s for seconds\n" +
		"list::1::wait is 30ns" + why + "30s for seconds\n" +
		"named::a::wait is 2ns" + why + "2s for seconds\n" +
		"named::b::wait is 1ns" + why + "1s for seconds\n" +
		"set::wait is 5ns" + why + "5s for seconds\n" +
		"pointer::wait is 999.999µs" + why + "999999s for seconds"
	if err := Check(&c); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := Check(&config{own: 1}); err != nil {
		t.Error(err)
	}
	if err := Check(nil); err != nil {
		t.Error(err)
	}
}
