// The importer process alone, as rekindle-worker --import runs it.
#include "daemon/importer_main.h"

int main(int argc, char** argv) {
    return rekindle::daemon::importer_main(argc, argv);
}
