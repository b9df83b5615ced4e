// SPDX-License-Identifier: BSL-1.0
// main() of the tests for Catch2 version 2; version 3 brings its own (Catch2::Catch2WithMain).
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
