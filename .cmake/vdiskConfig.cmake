# find_package(vdisk [COMPONENTS zlib libdeflate zstd]) gives vdisk::vdisk, vdisk::codecs and, for
# each compression library that is installed, vdisk::zlib, vdisk::libdeflate, vdisk::zstd.
include(CMakeFindDependencyMacro)
find_dependency(Boost 1.74 CONFIG)

include(${CMAKE_CURRENT_LIST_DIR}/vdiskTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/vdiskCodecs.cmake)

foreach(component IN LISTS vdisk_FIND_COMPONENTS)
  if(TARGET vdisk::${component})
    set(vdisk_${component}_FOUND TRUE)
  elseif(vdisk_FIND_REQUIRED_${component})
    set(vdisk_FOUND FALSE)
    set(vdisk_NOT_FOUND_MESSAGE "vdisk::${component}: its library is not installed")
  endif()
endforeach()
