package serverconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkLogRotation reads --log-rotation-config-json, if it is to have effect.
func (c *Config) checkLogRotation() error {
	if !c.rotate {
		return nil
	}
	if !slices.ContainsFunc(c.LogOutputs, func(output string) bool { return !standardOutput(output) }) {
		return errors.New("--enable-log-rotation: no file is among --log-outputs; name one, or leave rotation out")
	}
	rotation := LogRotation{}
	d := json.NewDecoder(strings.NewReader(c.rotationConfig))
	d.DisallowUnknownFields()
	if err := d.Decode(&rotation); err != nil {
		return fmt.Errorf("--log-rotation-config-json %q: %w; write it like the default", c.rotationConfig, err)
	}
	if min(rotation.MaxSize, rotation.MaxAge, rotation.MaxBackups) < 0 {
		return fmt.Errorf("--log-rotation-config-json %q: nothing may be negative", c.rotationConfig)
	}
	c.LogRotation = &rotation
	return nil
}

func standardOutput(output string) bool {
	return output == "default" || output == "stderr" || output == "stdout"
}
