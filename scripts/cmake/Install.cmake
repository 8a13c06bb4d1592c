# cmake --install BUILD [--prefix PREFIX]: programs, systemd unit, configuration, documents.
# The unit and the configuration name each other by absolute path, so they are written when it is
# known where things go: at install time.
include(GNUInstallDirs)

install(TARGETS rekindled rekindle RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
# Nobody but rekindled starts it.
install(TARGETS rekindle-worker RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/rekindle")
install(FILES LICENSE README.md CHANGELOG.md ARCHITECTURE.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY docs DESTINATION "${CMAKE_INSTALL_DOCDIR}" FILES_MATCHING PATTERN "*.md"
        PATTERN "decisions" EXCLUDE)
install(CODE "
    set(rekindle_source \"${CMAKE_SOURCE_DIR}\")
    set(rekindle_scratch \"${CMAKE_BINARY_DIR}\")
    set(rekindle_bindir \"${CMAKE_INSTALL_BINDIR}\")
    set(rekindle_docdir \"${CMAKE_INSTALL_DOCDIR}\")")
install(SCRIPT "${CMAKE_SOURCE_DIR}/scripts/cmake/InstallUnit.cmake")
