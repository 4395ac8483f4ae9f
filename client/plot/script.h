#pragma once

// Pieces of a gnuplot script in the one style of all figures: colours that
// colour-blind readers tell apart (Okabe and Ito), thin axes, no box. Plain
// text; thread-safe: no shared state.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kvrecall {

// The n-th line's colour, "#0072b2"; they repeat after eight.
const char* LineColour(size_t n);
// Its point type: shapes differ too, for black and white print.
int PointType(size_t n);

// A figure's text, drawn by gnuplot.h.
struct Figure {
  std::string name;  // of the file, without its ending
  std::string title;
  int width = 900, height = 600;  // pixels of a screen
  std::string script;             // without terminal and output
};

// A string in double quotes, with what gnuplot would read as more than text
// made harmless. Control characters become spaces.
std::string Quoted(std::string_view text);

// The shortest text that gives the number back; "NaN" where it is not finite,
// which gnuplot leaves out.
std::string Number(double value);

// "$name << EOD … EOD": rows of numbers or quoted strings, already text.
std::string DataBlock(std::string_view name,
                      const std::vector<std::string>& rows);

// What every script begins with: the title, a line below it, axes and grid.
std::string ScriptHead(std::string_view title, std::string_view below);

}  // namespace kvrecall
