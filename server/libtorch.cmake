# libtorch as a target of ours, kvrecall_torch: ATen only, its headers as system
# headers. KVRECALL_WITH_CUDA says whether it has CUDA.
#
# A libtorch with CUDA, 2.4 or newer and with the C++11 ABI, is taken as it lies
# below CMAKE_PREFIX_PATH: its own CMake package asks for the whole CUDA toolkit
# (cuFFT, cuRAND, …), of which nothing but the compiler, the runtime and their
# headers is used here. So a Python package of PyTorch and one of nvcc are
# enough.

set(torch_prefixes "")
foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
  # torch.utils.cmake_prefix_path names share/cmake below it.
  list(APPEND torch_prefixes "${prefix}" "${prefix}/../..")
endforeach()
if(Torch_DIR)
  list(APPEND torch_prefixes "${Torch_DIR}/../../..")
endif()
find_library(TORCH_CUDA_LIBRARY torch_cuda
             PATHS ${torch_prefixes}
             PATH_SUFFIXES lib
             NO_DEFAULT_PATH)

add_library(kvrecall_torch INTERFACE)
# at::parallel_for is inline: without OpenMP's flag it silently runs on one
# thread.
find_package(OpenMP REQUIRED COMPONENTS CXX)
target_link_libraries(kvrecall_torch INTERFACE OpenMP::OpenMP_CXX)
if(NOT TORCH_CUDA_LIBRARY)
  if(KVRECALL_REQUIRE_CUDA)
    message(FATAL_ERROR "No libtorch with CUDA below CMAKE_PREFIX_PATH "
                        "(${CMAKE_PREFIX_PATH}): there is no "
                        "lib/libtorch_cuda.so.")
  endif()
  set(KVRECALL_WITH_CUDA OFF)
  find_package(Torch REQUIRED)
  target_link_libraries(kvrecall_torch INTERFACE ${TORCH_LIBRARIES})
  target_include_directories(kvrecall_torch SYSTEM
                             INTERFACE ${TORCH_INCLUDE_DIRS})
  separate_arguments(torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
  target_compile_options(kvrecall_torch INTERFACE ${torch_flags})
  return()
endif()

set(KVRECALL_WITH_CUDA ON)
get_filename_component(torch_libraries "${TORCH_CUDA_LIBRARY}" DIRECTORY)
get_filename_component(torch_root "${torch_libraries}" DIRECTORY)
# A wheel has headers of other libraries among its own (protobuf, fmt, oneDNN),
# of other versions than ours: none but its own are to be found.
foreach(folder IN ITEMS ATen c10 caffe2 torch)
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/libtorch_headers")
  file(CREATE_LINK "${torch_root}/include/${folder}"
       "${PROJECT_BINARY_DIR}/libtorch_headers/${folder}" SYMBOLIC)
endforeach()
set(torch_headers "${PROJECT_BINARY_DIR}/libtorch_headers"
                  "${torch_root}/include/torch/csrc/api/include")

# --- version and ABI ---------------------------------------------------------
file(STRINGS "${torch_root}/include/torch/csrc/api/include/torch/version.h"
     torch_version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
# From 2.9 on that file leads to another.
if(NOT torch_version_lines
   AND EXISTS "${torch_root}/include/torch/headeronly/version.h")
  file(STRINGS "${torch_root}/include/torch/headeronly/version.h"
       torch_version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
endif()
string(REGEX REPLACE ".*_MAJOR ([0-9]+).*_MINOR ([0-9]+).*" "\\1.\\2"
                     torch_version "${torch_version_lines}")
if(NOT torch_version VERSION_GREATER_EQUAL 2.4)
  message(FATAL_ERROR "The libtorch in ${torch_root} is version "
                      "'${torch_version}'; 2.4 or newer is needed.")
endif()
# A function that returns std::string carries its ABI in its name.
file(STRINGS "${torch_libraries}/libc10.so" torch_cxx11_name LIMIT_COUNT 1
     REGEX "_ZNK3c106Device3strB5cxx11Ev")
if(NOT torch_cxx11_name)
  message(
    FATAL_ERROR
      "The libtorch in ${torch_root} was built with the old C++ ABI "
      "(_GLIBCXX_USE_CXX11_ABI=0), which the other libraries here do not have. "
      "Take the torch wheel from 2.7 on, or a libtorch archive named "
      "'cxx11-abi'.")
endif()

# --- the compiler and the runtime --------------------------------------------
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES "80;90")
endif()
# The runtime that libtorch links, not a second one inside.
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} is version "
                      "${CMAKE_CUDA_COMPILER_VERSION}; 12.0 or newer is needed "
                      "for C++20.")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
# CMake 3.25 does not know that CUDA's compiler takes it.
foreach(kind STANDARD EXTENSION)
  if(NOT CMAKE_CUDA20_${kind}_COMPILE_OPTION)
    set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
  endif()
endforeach()
string(APPEND CMAKE_CUDA_FLAGS " --expt-relaxed-constexpr")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")

get_filename_component(cuda_root "${CMAKE_CUDA_COMPILER}" REALPATH)
get_filename_component(cuda_root "${cuda_root}/../.." ABSOLUTE)
string(REGEX MATCH "^[0-9]+" cuda_major "${CMAKE_CUDA_COMPILER_VERSION}")
find_path(CUDA_RUNTIME_INCLUDE_DIR cuda_runtime_api.h
          HINTS "${cuda_root}/include"
                "${cuda_root}/targets/x86_64-linux/include"
                ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} REQUIRED)
find_library(
  CUDA_RUNTIME_LIBRARY
  NAMES libcudart.so.${cuda_major}
  HINTS "${cuda_root}"
        "${cuda_root}/targets/x86_64-linux"
        "${torch_root}"
        "${torch_root}/../nvidia/cu${cuda_major}"
        "${torch_root}/../nvidia/cuda_runtime"
  PATH_SUFFIXES lib lib64
  REQUIRED)
message(STATUS "libtorch ${torch_version} with CUDA in ${torch_root}; CUDA "
               "${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")

target_include_directories(kvrecall_torch SYSTEM
                           INTERFACE ${torch_headers}
                                     "${CUDA_RUNTIME_INCLUDE_DIR}")
target_compile_definitions(kvrecall_torch INTERFACE KVRECALL_WITH_CUDA)
# Some wheels hold parts of libstdc++ and let others find them (std::filesystem):
# before theirs, so that none is mixed with the rest of ours.
target_link_options(kvrecall_torch INTERFACE
                    "LINKER:--push-state,--no-as-needed,-lstdc++,--pop-state")
# libtorch_cuda registers itself as it is loaded; nothing calls it by name.
target_link_libraries(
  kvrecall_torch
  INTERFACE "-Wl,--push-state,--no-as-needed,${TORCH_CUDA_LIBRARY},--pop-state"
            "${torch_libraries}/libtorch.so"
            "${torch_libraries}/libtorch_cpu.so"
            "${torch_libraries}/libc10_cuda.so"
            "${torch_libraries}/libc10.so"
            "${CUDA_RUNTIME_LIBRARY}")
# What libtorch itself needs is found when it is loaded. The runtime's folder is
# named, since CMake leaves out those that the compiler searches by itself.
get_filename_component(cuda_runtime_folder "${CUDA_RUNTIME_LIBRARY}" DIRECTORY)
target_link_options(
  kvrecall_torch INTERFACE -Wl,--unresolved-symbols=ignore-in-shared-libs
  "-Wl,-rpath,${cuda_runtime_folder}")
