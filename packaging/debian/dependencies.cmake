# What the programs load, as dpkg reckons it, with every name that the releases have for it. CPack reads this before it
# packs; its own way takes the names of the release that the package is made on alone.
set(place ${CPACK_PACKAGE_DIRECTORY}/dependencies)
file(WRITE ${place}/debian/control "Source: berth\n\nPackage: berth\nArchitecture: any\n")
file(GLOB programs ${CPACK_BERTH_BUILD}/bin/* ${CPACK_BERTH_BUILD}/lib/berth/*)
execute_process(COMMAND dpkg-shlibdeps -O ${programs} WORKING_DIRECTORY ${place} OUTPUT_VARIABLE loaded
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_VARIABLE words RESULT_VARIABLE failed)
if(failed OR NOT loaded MATCHES "^shlibs:Depends=")
  message(FATAL_ERROR "dpkg-shlibdeps cannot tell what the programs load: ${words}")
endif()
string(REPLACE "shlibs:Depends=" "" loaded "${loaded}")
string(REGEX REPLACE "libssl3(t64)?( \\([^)]*\\))?" "libssl3\\2 | libssl3t64\\2" loaded "${loaded}")
string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", ${loaded}")
