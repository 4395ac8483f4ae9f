#pragma once

// Draws figures with the gnuplot of this machine. Thread-safe: a process for
// each figure.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/plot/script.h"

namespace kvrecall {

enum class ImageFormat { kPng, kSvg, kPdf };

// "png", "svg" or "pdf". InvalidArgument: none of these.
absl::StatusOr<ImageFormat> ParseImageFormat(const std::string& text);
const char* ImageFormatName(ImageFormat format);

// Writes the figure to `path`, whole or not at all. FailedPrecondition: there
// is no gnuplot; the message says what to install. Internal: gnuplot could not
// draw it; with its words. InvalidArgument: the path cannot be written.
absl::Status DrawFigure(const Figure& figure, ImageFormat format,
                        const std::string& path);

}  // namespace kvrecall
