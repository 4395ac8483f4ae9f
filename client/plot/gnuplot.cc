#include "client/plot/gnuplot.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/status_macros.h"

extern char** environ;

namespace kvrecall {
namespace {

struct Ended {
  int status = 0;      // as waitpid has it
  std::string output;  // both streams
};

// Gives the whole text to a pipe; false if the reader has gone.
bool WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

std::string ReadAll(int file) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t count = ::read(file, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, static_cast<size_t>(count));
  }
}

// Runs gnuplot on a script that lies in a file, so that nothing needs to write
// and read at once.
absl::StatusOr<Ended> RunGnuplot(const std::string& script_path) {
  int output[2];
  if (::pipe2(output, O_CLOEXEC) != 0)
    return absl::InternalError(
        absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
  std::string program = "gnuplot", script = script_path;
  char* arguments[] = {program.data(), script.data(), nullptr};
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, "gnuplot", &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(output[1]);
  if (error != 0) {
    ::close(output[0]);
    if (error == ENOENT)
      return absl::FailedPreconditionError(
          "plots are drawn by gnuplot, which is not installed here: "
          "apt-get install gnuplot-nox");
    return absl::FailedPreconditionError(
        absl::StrCat("cannot start gnuplot: ", std::strerror(error)));
  }
  Ended ended;
  ended.output = ReadAll(output[0]);
  ::close(output[0]);
  while (::waitpid(child, &ended.status, 0) < 0 && errno == EINTR) {
  }
  return ended;
}

// Fonts by what every system maps to something.
std::string Terminal(const Figure& figure, ImageFormat format) {
  const std::string size = absl::StrCat(figure.width, ",", figure.height);
  switch (format) {
    case ImageFormat::kPng:
      // Twice the pixels, for sharp screens and print.
      return absl::StrCat("set terminal pngcairo font 'sans,20' size ",
                          2 * figure.width, ",", 2 * figure.height,
                          " linewidth 2 pointscale 1.6\n");
    case ImageFormat::kSvg:
      return absl::StrCat("set terminal svg font 'sans,13' size ", size,
                          " background rgb 'white'\n");
    case ImageFormat::kPdf:
      return absl::StrCat("set terminal pdfcairo font 'sans,10' size ",
                          Number(figure.width / 120.0), "in,",
                          Number(figure.height / 120.0), "in\n");
  }
  return {};
}

// What a figure's drawing leaves behind, gone with this.
class TemporaryFile {
 public:
  TemporaryFile() {
    const char* folder = std::getenv("TMPDIR");
    path_ = absl::StrCat(folder != nullptr && *folder != 0 ? folder : "/tmp",
                         "/kvrecall-plot-XXXXXX");
    file_ = ::mkstemp(path_.data());
  }
  ~TemporaryFile() {
    if (file_ < 0) return;
    ::close(file_);
    ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  bool Write(std::string_view text) const {
    return file_ >= 0 && WriteAll(file_, text);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int file_ = -1;
};

}  // namespace

absl::StatusOr<ImageFormat> ParseImageFormat(const std::string& text) {
  for (const ImageFormat format :
       {ImageFormat::kPng, ImageFormat::kSvg, ImageFormat::kPdf})
    if (text == ImageFormatName(format)) return format;
  return absl::InvalidArgumentError(
      absl::StrCat("format '", text, "' is unknown; use png, svg or pdf"));
}

const char* ImageFormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "png";
    case ImageFormat::kSvg:
      return "svg";
    case ImageFormat::kPdf:
      return "pdf";
  }
  return "";
}

absl::Status DrawFigure(const Figure& figure, ImageFormat format,
                        const std::string& path) {
  if (path.find('\'') != std::string::npos)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": gnuplot takes no path with an apostrophe"));
  const std::string part = path + ".part";
  const TemporaryFile script;
  if (!script.Write(absl::StrCat(Terminal(figure, format), "set output '", part,
                                 "'\n", figure.script, "\nunset output\n")))
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot write ", script.path(), ": is the disk full?"));
  ASSIGN_OR_RETURN(const Ended ended, RunGnuplot(script.path()));
  std::error_code error;
  const bool drawn = std::filesystem::file_size(part, error) > 0 && !error;
  if (!WIFEXITED(ended.status) || WEXITSTATUS(ended.status) != 0 || !drawn) {
    std::filesystem::remove(part, error);
    return absl::InternalError(
        absl::StrCat("gnuplot could not draw ", path, ": ",
                     std::string(absl::StripAsciiWhitespace(ended.output))));
  }
  std::filesystem::rename(part, path, error);
  if (error)
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write ", path, ": ", error.message()));
  return absl::OkStatus();
}

}  // namespace kvrecall
