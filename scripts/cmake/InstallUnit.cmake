# Run by cmake --install. A configuration that is there already is somebody's, and stays.
set(rekindle_bin "${CMAKE_INSTALL_PREFIX}/${rekindle_bindir}")
set(rekindle_doc "${CMAKE_INSTALL_PREFIX}/${rekindle_docdir}")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(rekindle_etc "/etc/rekindle")
else()
    set(rekindle_etc "${CMAKE_INSTALL_PREFIX}/etc/rekindle")
endif()

configure_file("${rekindle_source}/packaging/rekindled.service.in"
               "${rekindle_scratch}/rekindled.service" @ONLY)
file(INSTALL "${rekindle_scratch}/rekindled.service"
     DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")
if(EXISTS "$ENV{DESTDIR}${rekindle_etc}/rekindled.yaml")
    message(STATUS "Kept: $ENV{DESTDIR}${rekindle_etc}/rekindled.yaml")
else()
    file(INSTALL "${rekindle_source}/packaging/rekindled.yaml" DESTINATION "${rekindle_etc}")
endif()
