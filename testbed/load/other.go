//go:build !linux

package main

import (
	"errors"
	"io"
)

const sendCommand = "-send"

func run(options) error { return errors.ErrUnsupported }

func sender(io.Reader, io.Writer) error { return errors.ErrUnsupported }
