#include "launcher/node/node_main.hpp"

int main(int argc, char** argv) {
  return troupe::node_main(argc, argv);
}
