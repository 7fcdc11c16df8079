package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plot is a line chart, which becomes an SVG that any browser shows.
type plot struct {
	title, xLabel, yLabel string
	logX, logY            bool
	series                []series
}

type series struct {
	name   string // a contender, with something behind it
	points []point
}

type point struct{ x, y float64 }

// Sizes in pixels: of the picture, and of the margins around the area of the lines.
const (
	plotWidth, plotHeight                            = 560, 340
	leftMargin, rightMargin, topMargin, bottomMargin = 64, 16, 34, 74
)

var plotColours = map[string]string{synod: "#1f6feb", etcd: "#d1242f", nothing: "#6e7781"}

// svg draws the plot. Points that a logarithmic axis has no place for are left out.
func (p plot) svg() string {
	x, y := newAxis(p.logX), newAxis(p.logY)
	for _, a := range []*axis{&x, &y} {
		if !a.log {
			a.include(0)
		}
	}
	for i := range p.series {
		for _, point := range p.series[i].points {
			if x.takes(point.x) && y.takes(point.y) {
				x.include(point.x)
				y.include(point.y)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-weight="bold">%s</text>`+"\n", leftMargin, html.EscapeString(p.title))
	p.drawAxes(&b, x, y)
	for i, s := range p.series {
		p.drawSeries(&b, x, y, i, s)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func across(x axis, v float64) float64 {
	return leftMargin + x.position(v)*(plotWidth-leftMargin-rightMargin)
}

func upward(y axis, v float64) float64 {
	return plotHeight - bottomMargin - y.position(v)*(plotHeight-topMargin-bottomMargin)
}

func (p plot) drawAxes(b *strings.Builder, x, y axis) {
	const bottom = plotHeight - bottomMargin
	for _, v := range x.ticks() {
		at := across(x, v)
		fmt.Fprintf(b, `<path d="M%.1f %d V%d" stroke="#e5e5e5"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", at, topMargin, bottom, at, bottom+16, short(v))
	}
	for _, v := range y.ticks() {
		at := upward(y, v)
		fmt.Fprintf(b, `<path d="M%d %.1f H%d" stroke="#e5e5e5"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", leftMargin, at, plotWidth-rightMargin, leftMargin-6, at+4, short(v))
	}
	fmt.Fprintf(b, `<path d="M%d %d V%d H%d" stroke="black" fill="none"/>`+"\n", leftMargin, topMargin, bottom, plotWidth-rightMargin)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (leftMargin+plotWidth-rightMargin)/2, bottom+36, html.EscapeString(p.xLabel))
	fmt.Fprintf(b, `<text transform="translate(14 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (topMargin+bottom)/2, html.EscapeString(p.yLabel))
}

// drawSeries draws a line with its points, dashed from the third series on, and its name in the legend.
func (p plot) drawSeries(b *strings.Builder, x, y axis, i int, s series) {
	contender, _, _ := strings.Cut(s.name, " ")
	colour, dash := plotColours[contender], ""
	if i >= 2 {
		dash = ` stroke-dasharray="5 4"`
	}
	var path, dots strings.Builder
	for _, point := range s.points {
		if !x.takes(point.x) || !y.takes(point.y) {
			continue
		}
		command := "L"
		if path.Len() == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, across(x, point.x), upward(y, point.y))
		fmt.Fprintf(&dots, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, across(x, point.x), upward(y, point.y), colour)
	}
	fmt.Fprintf(b, `<path d="%s" stroke="%s" stroke-width="2" fill="none"%s/>%s`+"\n", &path, colour, dash, &dots)
	left, line := leftMargin+120*i, plotHeight-14
	fmt.Fprintf(b, `<path d="M%d %d h24" stroke="%s" stroke-width="2"%s/><text x="%d" y="%d">%s</text>`+"\n", left, line-4, colour, dash, left+30, line, html.EscapeString(s.name))
}

// axis maps values to 0 to 1, evenly or by their logarithms.
type axis struct {
	log       bool
	low, high float64 // of what is included
}

func newAxis(log bool) axis { return axis{log, math.Inf(1), math.Inf(-1)} }

func (a axis) takes(v float64) bool { return !a.log || v > 0 }

func (a *axis) include(v float64) { a.low, a.high = min(a.low, v), max(a.high, v) }

func (a axis) position(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log(low), math.Log(high), math.Log(v)
	}
	if high <= low {
		return .5
	}
	return (v - low) / (high - low)
}

// ticks are the values that are marked: powers of ten, or about five round ones. Fewer than two powers of ten get the ends.
func (a axis) ticks() []float64 {
	if a.low > a.high {
		return nil
	}
	var ticks []float64
	if a.log {
		for v := math.Pow(10, math.Ceil(math.Log10(a.low)-1e-9)); v <= a.high*(1+1e-9); v *= 10 {
			ticks = append(ticks, v)
		}
		if len(ticks) < 2 {
			ticks = []float64{a.low, a.high}
		}
		return ticks
	}
	step := math.Pow(10, math.Floor(math.Log10((a.high-a.low)/2)))
	for (a.high-a.low)/step > 6 {
		step *= 2.5
	}
	for v := math.Ceil(a.low/step) * step; v <= a.high && step > 0; v += step {
		ticks = append(ticks, v)
	}
	return ticks
}

// short writes a number in few characters: 1.5k, 20M.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.size {
			return fmt.Sprintf("%.3g%s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}
