#pragma once

// What this process's control groups, versions 1 and 2, say on Linux: how a
// container or a service manager limits it. `root` stands before every path
// ("/" but in tests). Pure reads; thread-safe.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace kvrecall {

// Calls `visit` with the folder of each group whose limits hold: the process's
// own and all around it, of version 2 and of version 1's `controller`. A folder
// may be missing. In a container the path may be the host's, and what is
// mounted be the group itself: then the mount's own files are those that are
// found.
void VisitOwnGroups(const std::filesystem::path& root,
                    const std::string& controller,
                    const std::function<void(const std::filesystem::path&,
                                             int version)>& visit);

// The number that a file begins with; nothing where there is none ("max").
std::optional<int64_t> ReadNumber(const std::filesystem::path& path);

// Processors' worth of time that the groups give; nothing: no limit. 1.5 where
// 150 ms may be used in every 100 ms.
std::optional<double> CpuQuota(const std::filesystem::path& root);

// Threads that can compute at once: the processors that the process may run on,
// and no more than the whole ones of its quota, since where threads wait for
// each other one that is held back holds all back. At least 1.
int UsableCpus();
// The same with `allowed` processors, for tests.
int UsableCpus(const std::filesystem::path& root, int allowed);

}  // namespace kvrecall
