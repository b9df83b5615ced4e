# A target per compression library that is installed, and vdisk::codecs for all of them. There is no
# code in these targets: each joins vdisk::vdisk with the C library that <vdisk/codec/NAME.hpp> needs.
# Used by the build of vdisk and by find_package(vdisk) alike.

if(NOT TARGET vdisk::codecs)
  add_library(vdisk::codecs INTERFACE IMPORTED GLOBAL)
  target_link_libraries(vdisk::codecs INTERFACE vdisk::vdisk)
endif()

set(VDISK_WITHOUT "" CACHE STRING "Compression libraries not to be used: libdeflate;zstd")

function(vdisk_add_codec name header library)
  if(TARGET vdisk::${name})
    return()
  endif()
  if(name IN_LIST VDISK_WITHOUT)
    string(TOUPPER VDISK_WITHOUT_${name} definition)
    set_property(TARGET vdisk::codecs APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS ${definition})
    return()
  endif()
  if(VDISK_STATIC)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  endif()
  find_path(VDISK_${name}_INCLUDE_DIR ${header})
  find_library(VDISK_${name}_LIBRARY ${library})
  mark_as_advanced(VDISK_${name}_INCLUDE_DIR VDISK_${name}_LIBRARY)
  if(NOT VDISK_${name}_INCLUDE_DIR OR NOT VDISK_${name}_LIBRARY)
    return()
  endif()
  add_library(vdisk::${name} INTERFACE IMPORTED GLOBAL)
  target_include_directories(vdisk::${name} INTERFACE ${VDISK_${name}_INCLUDE_DIR})
  target_link_libraries(vdisk::${name} INTERFACE vdisk::vdisk ${VDISK_${name}_LIBRARY})
  target_link_libraries(vdisk::codecs INTERFACE vdisk::${name})
endfunction()

vdisk_add_codec(zlib zlib.h z)
vdisk_add_codec(libdeflate libdeflate.h deflate)
vdisk_add_codec(zstd zstd.h zstd)
