# cmake --install, and find_package(Covey): the libraries of the rooms as Covey::common, Covey::client, ...
get_property(libraries GLOBAL PROPERTY COVEY_LIBRARIES)
get_property(programs GLOBAL PROPERTY COVEY_PROGRAMS)
if(programs)
    install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS ${libraries} EXPORT CoveyTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(library IN LISTS libraries)
    string(REPLACE covey_ "" room ${library})
    if(EXISTS ${PROJECT_SOURCE_DIR}/${room}/include)
        install(DIRECTORY ${PROJECT_SOURCE_DIR}/${room}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    endif()
endforeach()
install(EXPORT CoveyTargets NAMESPACE Covey:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Covey)

# The pinned static libraries that ours need, out of the way of the system's own.
foreach(name IN ITEMS mbedtls mbedx509 mbedcrypto coap-3 cbor)
    install(FILES ${COVEY_DEPS}/lib/lib${name}.a DESTINATION ${CMAKE_INSTALL_LIBDIR}/covey/lib)
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/models DESTINATION ${CMAKE_INSTALL_DATADIR}/covey OPTIONAL)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/THIRD_PARTY.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/CoveyConfig.cmake.in ${PROJECT_BINARY_DIR}/CoveyConfig.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Covey PATH_VARS CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/CoveyConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/CoveyConfig.cmake ${PROJECT_BINARY_DIR}/CoveyConfigVersion.cmake
    ${PROJECT_SOURCE_DIR}/cmake/covey-dependencies.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Covey)
